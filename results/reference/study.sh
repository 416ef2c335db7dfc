#!/bin/sh
# The reference study, one part a call: study.sh PART, from the root of the project.
# Finished cells are skipped, so a part may be stopped and called again; seeds come one after the
# other, so what is there after a stop has all methods. Data sets but ml-100k are prepared before
# (docs/data.md); `tune` comes before `ml_100k` and `ml_latest_small`, and everything before
# `publish`.
set -eu

bench="${BENCH:-.venv/bin/userllm-bench}"
seeds="${SEEDS:-0 1 2 3 4}"
tuned=results/tuned
# The same budgets for the two methods that tune a language model, so that small data costs less.
small="--set text_prompt.targets=40000 --set user_llm.tune.targets=40000
       --set text_prompt.examples=4000 --set user_llm.tune.examples=4000"

cells() { "$bench" run --threads 1 --no-keep-models "$@"; }

# A split is tuned by itself: test targets of one are among what the other trains and validates on.
# The search of user_encoder counts as part of that of user_llm, which is tuned on top of it.
tune() {
    for split in last global_time; do
        for method in user_encoder user_llm sasrec text_prompt bert4rec dual_encoder; do
            "$bench" tune --method "$method" --trials 30 --seconds "${SECONDS_EACH:-3600}" \
                --threads 1 --task next_item --dataset ml-100k --split "$split" --preset quick \
                --set cost.users=0
        done
    done
}

tuned_file() {
    case "$1" in
        last) echo "$tuned/ml-100k-next_item.yaml" ;;
        *) echo "$tuned/ml-100k-next_item-$1.yaml" ;;
    esac
}

# What is tuned on next_item says nothing of favorite_genre: its settings are the preset's, which
# nobody tuned.
ml_100k() {
    for seed in $seeds; do
        for split in last global_time; do
            cells --config "$(tuned_file "$split")" --preset full --split "$split" \
                --seeds "$seed"
            cells --task favorite_genre --dataset ml-100k --preset full --split "$split" \
                --seeds "$seed"
        done
    done
}

# Settings of ml-100k: nobody tuned any on these data. Of favorite_genre they are the preset's.
ml_latest_small() {
    for seed in $seeds; do
        cells --config "$(tuned_file last)" --dataset ml-latest-small --preset full \
            --seeds "$seed"
        cells --task favorite_genre --dataset ml-latest-small --preset full --seeds "$seed"
    done
}

# Settings that nobody tuned: published recipes for sasrec and bert4rec, else the preset's.
ml_1m() {
    for seed in $seeds; do
        cells --config results/reference/ml-1m.yaml --seeds "$seed"
    done
}

# Settings of the preset, which nobody tuned; of `small` above too.
amazon() {
    for seed in $seeds; do
        for name in amazon-2018/Gift_Cards amazon-2014/Musical_Instruments; do
            # shellcheck disable=SC2086
            cells --task next_item,favorite_genre,review_generation --dataset "$name" $small \
                --seeds "$seed"
        done
    done
}

# Likewise.
google() {
    for seed in $seeds; do
        # shellcheck disable=SC2086
        cells --task next_item,favorite_genre,review_generation --dataset google-local/Vermont \
            $small --seeds "$seed"
    done
}

publish() {
    "$bench" publish results/runs --out results/reference
    "$bench" verify results/reference --allow-missing
    "$bench" report results/reference --out results/reference
    for split in results/reference/*/*/last results/reference/*/*/global_time; do
        task="${split%/*}"
        [ ! -d "$split" ] || "$bench" report "$task" --out "$task"
    done
}

case "${1:-}" in
    tune | ml_100k | ml_latest_small | ml_1m | amazon | google | publish) "$1" ;;
    *)
        echo "usage: $0 tune|ml_100k|ml_latest_small|ml_1m|amazon|google|publish" >&2
        exit 2
        ;;
esac
