#!/usr/bin/env bash
# Install into .venv, make a dataset of synthetic people, train a tiny SWAHR on
# it, test it and draw the predicted poses. No GPU, no compiler, no download of
# a dataset. It checks the installation; docs/ablation.md compares the methods.
#   bash tools/quickstart.sh [WORK_DIR]
# Variables of the installation: see tools/dev/setup_venv.sh.
set -euo pipefail
case "${1:-}" in
-h | --help)
    sed -n '2,6s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
work_dir=$(realpath -m "${1:-$(dirname "$0")/../work_dirs/quickstart}")
cd "$(dirname "$0")/.."
source tools/dev/setup_venv.sh

config=configs/synthetic/swahr_higherhrnet-tiny_1xb2-14e_synthetic-192x192.py
started=$SECONDS

echo "== 1/4 synthetic people"
python tools/dataset_tools/make_synthetic_dataset.py data/quickstart \
    --kind clothed_people --num-train 512 --max-people 3 --min-height 48 \
    --max-height 220 --overwrite
echo "== 2/4 training: about four minutes on two idle cores (on a busy machine OMP_NUM_THREADS=1 is faster)"
python tools/train.py "$config" --work-dir "$work_dir" --no-validate
checkpoint=$(cat "$work_dir/last_checkpoint")
echo "== 3/4 test on the validation images"
python tools/test.py "$config" "$checkpoint" --work-dir "$work_dir/test" \
    --out-file "$work_dir/metrics.json"
echo "== 4/4 figures"
python tools/analysis_tools/visualize.py "$config" "$checkpoint" \
    --out-dir "$work_dir/figures" --sheet "$work_dir/quickstart.jpg" \
    --max-images 12
study=$(python tools/analysis_tools/ablation.py --summary baseline SWAHR)

cat <<END

Done in $((SECONDS - started)) s.
  AP of the synthetic validation set: $(python -c "
import json, sys
print(round(json.load(open(sys.argv[1]))['coco/AP'], 3))" "$work_dir/metrics.json")
  all metrics                       : $work_dir/metrics.json
  poses and scale maps              : $work_dir/figures, $work_dir/quickstart.jpg
  weights                           : $checkpoint

This run checks the installation, not the method; the model is not for
photographs. In the study of the methods
(docs/ablation.md, other images, longer training):
$(sed 's/^/  /' <<< "$study")
END
