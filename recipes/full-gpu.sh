#!/usr/bin/env bash
# The pocket model `full` on GPUs in slices of under ten minutes, each resumable. Needs no network.
# usage: recipes/full-gpu.sh world|vae|latents|denoiser|pack [RUN_FOLDER]
#
# A slice that runs on a machine that keeps nothing starts from the weights that it is given (INIT, a folder with
# vae.safetensors, denoiser.safetensors and text.safetensors, or none) and makes its own clips first; on a machine that keeps its
# disk, --resume goes on from the last checkpoint instead. GPUS=8 trains with eight processes, SHARD=--shard cuts the nets over
# them; LIVE=1 simulates clips while it trains, and needs neither `world` nor `latents`.
set -euo pipefail
step=$1 run=${2:-runs/full}
part=${PART:-solo} clips=${CLIPS:-20000} workers=${WORKERS:-14} minutes=${MINUTES:-8} device=${DEVICE:-cuda} init=${INIT:-}
cooldown=${COOLDOWN:-0.3} # 0 in all slices but the last
gpus=${GPUS:-1} shard=${SHARD:-} live=${LIVE:-}
fw=${FILMWRIGHT:-python3 -m filmwright.cli}
each=$fw
if [ "$gpus" -gt 1 ]; then each="${TORCHRUN:-torchrun} --standalone --nproc-per-node $gpus -m filmwright.cli"; fi
clips_of=(--data "$run/train" --held-out "$run/validation")
latents_of=(--data "$run/latents-train" --held-out "$run/latents-validation")
if [ -n "$live" ]; then clips_of=(--data "world:$part" --workers "$((workers > gpus ? workers / gpus : 1))") latents_of=("${clips_of[@]}"); fi
mkdir -p "$run"
case $step in
world)
  $fw world shards --part "$part" --split train --count "$clips" --seed 1 --workers "$workers" --device "$device" --out "$run/train"
  $fw world shards --part "$part" --split validation --count 256 --seed 2 --workers "$workers" --device "$device" --out "$run/validation"
  ;;
vae)
  $each train vae "${clips_of[@]}" --out "$run/vae" --device "$device" --batch 128 $shard \
    --max-minutes "$minutes" --cooldown "$cooldown" --resume ${init:+--init "$init/vae.safetensors"}
  ;;
latents)
  for split in train validation; do
    $each train latents --data "$run/$split" --vae "$run/vae/vae.safetensors" --out "$run/latents-$split" --device "$device" --batch 32
  done
  ;;
denoiser)
  $each train denoiser "${latents_of[@]}" --vae "$run/vae/vae.safetensors" --out "$run/denoiser" --size full --device "$device" $shard \
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
