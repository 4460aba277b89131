#!/usr/bin/env bash
# The pocket model `full` on one GPU in slices of under ten minutes, each resumable. Needs no network.
# usage: recipes/full-gpu.sh world|vae|latents|denoiser|pack [RUN_FOLDER]
#
# A slice that runs on a machine that keeps nothing starts from the weights that it is given (INIT, a folder with
# vae.safetensors, denoiser.safetensors and text.safetensors, or none) and makes its own clips first; on a machine that keeps its
# disk, --resume goes on from the last checkpoint instead.
set -euo pipefail
step=$1 run=${2:-runs/full}
part=${PART:-solo} clips=${CLIPS:-20000} workers=${WORKERS:-14} minutes=${MINUTES:-8} device=${DEVICE:-cuda} init=${INIT:-}
cooldown=${COOLDOWN:-0.3} # 0 in all slices but the last
fw=${FILMWRIGHT:-python3 -m filmwright.cli}
mkdir -p "$run"
case $step in
world)
  $fw world shards --part "$part" --split train --count "$clips" --seed 1 --workers "$workers" --device "$device" --out "$run/train"
  $fw world shards --part "$part" --split validation --count 256 --seed 2 --workers "$workers" --device "$device" --out "$run/validation"
  ;;
vae)
  $fw train vae --data "$run/train" --held-out "$run/validation" --out "$run/vae" --device "$device" --batch 128 \
    --max-minutes "$minutes" --cooldown "$cooldown" --resume ${init:+--init "$init/vae.safetensors"}
  ;;
latents)
  for split in train validation; do
    $fw train latents --data "$run/$split" --vae "$run/vae/vae.safetensors" --out "$run/latents-$split" --device "$device" --batch 32
  done
  ;;
denoiser)
  $fw train denoiser --data "$run/latents-train" --held-out "$run/latents-validation" --vae "$run/vae/vae.safetensors" --out "$run/denoiser" --size full --device "$device" \
    --batch 256 --max-minutes "$minutes" --cooldown "$cooldown" --resume ${init:+--init "$init"}
  ;;
pack)
  $fw train pack --vae "$run/vae/vae.safetensors" --run "$run/denoiser" --out "$run/pocket" --size full
  ;;
*)
  echo "usage: recipes/full-gpu.sh world|vae|latents|denoiser|pack [RUN_FOLDER]" >&2
  exit 2
  ;;
esac
