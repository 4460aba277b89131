#!/usr/bin/env bash
# The pocket model `lite`, from nothing, on two CPU cores. Every step can be killed and started again: it goes on.
# usage: recipes/lite-cpu.sh [RUN_FOLDER]     minutes of each step come from the environment
set -euo pipefail
run=${1:-runs/lite}
part=${PART:-solo} clips=${CLIPS:-5120} vae_minutes=${VAE_MINUTES:-60} dit_minutes=${DIT_MINUTES:-240} reader_minutes=${READER_MINUTES:-15}
fw=${FILMWRIGHT:-.venv/bin/filmwright}
mkdir -p "$run"
$fw world shards --part "$part" --split train --count "$clips" --seed 1 --workers 2 --out "$run/train"
$fw world shards --part "$part" --split validation --count 256 --seed 2 --workers 2 --out "$run/validation"
$fw world shards --part "$part" --split held_out --count 512 --seed 3 --workers 2 --out "$run/held-out"
$fw train vae --data "$run/train" --held-out "$run/validation" --out "$run/vae" --batch 12 --lr 2e-3 --max-minutes "$vae_minutes" --resume
$fw train latents --data "$run/train" --vae "$run/vae/vae.safetensors" --out "$run/latents"
$fw train denoiser --data "$run/latents" --vae "$run/vae/vae.safetensors" --out "$run/denoiser" \
  --size lite --batch 16 --lr 2e-3 --max-minutes "$dit_minutes" --resume --compile
$fw train reader --data "$run/train" --held-out "$run/held-out" --out "$run/reader" --max-minutes "$reader_minutes" --resume
$fw train pack --vae "$run/vae/vae.safetensors" --run "$run/denoiser" --out "$run/pocket" --size lite
