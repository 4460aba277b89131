#!/usr/bin/env bash
# The pocket model `lite` on CPU cores, a training process a core. Every step can be killed and started again: it goes on.
# usage: recipes/lite-cpu.sh [RUN_FOLDER]     sizes and minutes come from the environment; INIT=FOLDER goes on from a set of weights
set -euo pipefail
run=${1:-runs/lite}
part=${PART:-solo} clips=${CLIPS:-3840} vae_minutes=${VAE_MINUTES:-60} dit_minutes=${DIT_MINUTES:-240} reader_minutes=${READER_MINUTES:-15}
bin=${BIN:-.venv/bin} cores=${CORES:-$(nproc)} init=${INIT:-}
fw=$bin/filmwright
# two processes of one thread do nearly twice the work of one process with two: no barrier after every operation
each_core=("$bin/torchrun" --standalone --nproc-per-node "$cores" "$fw")
export OMP_NUM_THREADS=1
mkdir -p "$run"
$fw world shards --part "$part" --split train --count "$clips" --seed 1 --workers "$cores" --out "$run/train"
$fw world shards --part "$part" --split validation --count 192 --seed 2 --workers "$cores" --out "$run/validation"
$fw world shards --part "$part" --split held_out --count 384 --seed 3 --workers "$cores" --out "$run/held-out"
"${each_core[@]}" train vae --data "$run/train" --held-out "$run/validation" --out "$run/vae" ${init:+--init "$init/vae.safetensors"} \
  --batch 12 --lr 2e-3 --max-minutes "$vae_minutes" --threads 1 --no-compile --resume
for split in train validation; do
  "${each_core[@]}" train latents --data "$run/$split" --vae "$run/vae/vae.safetensors" --out "$run/latents-$split" --threads 1
done
"${each_core[@]}" train denoiser --data "$run/latents-train" --held-out "$run/latents-validation" --vae "$run/vae/vae.safetensors" \
  --out "$run/denoiser" ${init:+--init "$init"} --batch 24 --lr 2e-3 --max-minutes "$dit_minutes" --threads 1 --compile --resume
$fw train reader --data "$run/train" --held-out "$run/held-out" --out "$run/reader" --max-minutes "$reader_minutes" --resume
$fw train pack --vae "$run/vae/vae.safetensors" --run "$run/denoiser" --out "$run/pocket" --size lite
