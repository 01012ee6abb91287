// The next token's scores: a weighted sum of the streams' logits, cuts by the anchor, and the strength controllers.
//
//     y[a, v] = w_0 * l_0[v] + t * d[v],   d[v] = sum_{s > 0} w_s * (l_s[v] - l_0[v])
//
// with l_s = logits[stream_rows[a, s]] and l_0 the anchor (pref); w_0 is the weight of all streams together. A
// difference that is not finite counts 0, so that a token the anchor forbids stays forbidden. Tokens with
// l_0[v] < max l_0 + ln(beta), and those outside the nucleus of softmax(l_0), are cut to the lowest f32.
//
// Up to s, t is as large as it may be. s is 1, or where the strength is adaptive, of two streams,
//
//     s = JSD(p, b) / ln 2 = sum_v (p_v + b_v) h(r_v) / (2 ln 2),   p = softmax(l_0), b = softmax(l_1)
//     r = (p - b) / (p + b),   h(r) = ((1 + r) ln(1 + r) + (1 - r) ln(1 - r)) / 2
//
// over the whole vocabulary: each term is 0 or more, and 0 where p = b. t is s, or with a budget E the largest t in [0, s]
// with KL(q_t || q_0) <= E, q_t = softmax(w_0 l_0 + t d) over the tokens that are not cut.
// KL(t) = t E_t[d] - ln(Z_t / Z_0), and its derivative is t Var_t[d]: Newton's method on its root finds t, bisection where
// that leaves the bracket. The answer is the bracket's lower end.
// Source: Amulet (arXiv 2502.19148) collapsed, ../ARCHITECTURE.md; Li et al. 2023 (arXiv 2210.15097), eq. 3; AdaCAD (Wang et
// al. 2024, arXiv 2409.07394).
// Dispatch: (SHARES, answers, 1); one share where there is a guard but beta. Tolerance against the CPU twin: 1e-5 relative,
// t and KL 1e-4, the nucleus's mass 1e-5.

@group(0) @binding(0) var<storage, read_write> logits: array<f32>;      // logits [rows, {{ vocab }}]
@group(0) @binding(1) var<storage, read_write> stream_rows: array<i32>; // stream_rows [answers, {{ streams }}]
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;     // weights [answers, {{ streams }}]
@group(0) @binding(3) var<storage, read_write> settings: array<f32>;    // settings [{{ slot | length }}] of src/settings.rs; the budget is E
@group(0) @binding(4) var<storage, read_write> scores: array<f32>;      // scores [answers, {{ vocab }}]
@group(0) @binding(5) var<storage, read_write> leaning: array<f32>;     // leaning [answers, 2]: t and its KL (-1: not computed)

const VOCAB: u32 = {{ vocab }}u;
const STREAMS: u32 = {{ streams }}u;
const SHARES: u32 = {{ shares }}u;
{% include "common/reduce.wgsl" %}
{% if nucleus %}
{% include "common/sortable.wgsl" %}
{% include "common/nucleus.wgsl" %}
{% endif %}

var<workgroup> cuts: bool;

fn difference(row: u32, anchor: f32, v: u32) -> f32 {
    let value = logits[row * VOCAB + v] - anchor;
    return select(0.0, value, is_finite(value));
}

// w_0 l_0 and d of a token.
fn parts(answer: u32, anchor: f32, v: u32) -> vec2<f32> {
    var d = 0.0;
    for (var s = 1u; s < STREAMS; s++) {
        d += weights[answer * STREAMS + s] * difference(u32(stream_rows[answer * STREAMS + s]), anchor, v);
    }
    return vec2<f32>(weights[answer * STREAMS] * anchor, d);
}

// Whether a token stands at or before the last that is kept: by its anchor's logit, of equal ones by id.
fn is_kept(anchor: f32, v: u32, last: Best) -> bool {
    return anchor > last.value || (anchor == last.value && v <= last.id);
}
{% if nucleus or jsd %}

// A row's highest logit, and the sum of exp(l - highest).
fn norm_of(row: u32, lane: u32) -> vec2<f32> {
    var highest = LOWEST;
    var sum = 0.0;
    for (var v = lane; v < VOCAB; v += 256u) {
        let l = finite(logits[row * VOCAB + v]);
        let next = max(highest, l);
        sum = sum * exp(highest - next) + select(0.0, exp(l - next), l > LOWEST);
        highest = next;
    }
    let top = workgroup_best(Best(highest, lane), lane).value;
    return vec2<f32>(top, workgroup_sum(sum * exp(highest - top), lane));
}
{% endif %}
{% if jsd %}

fn probability(logit: f32, norm: vec2<f32>) -> f32 {
    let l = finite(logit);
    return select(0.0, exp(l - norm.x) / norm.y, l > LOWEST);
}

// h(r); by its series where the logarithms would cancel.
fn gap(r: f32) -> f32 {
    let square = r * r;
    let near = square * (0.5 + square * (1.0 / 12.0 + square / 30.0));
    let far = 0.5 * ((1.0 + r) * log(max(1.0 + r, 1e-30)) + (1.0 - r) * log(max(1.0 - r, 1e-30)));
    return select(far, near, abs(r) < 0.1);
}

// JSD(p, b) / ln 2.
fn disagreement(row: u32, norm: vec2<f32>, other: u32, lane: u32) -> f32 {
    let other_norm = norm_of(other, lane);
    var sum = 0.0;
    for (var v = lane; v < VOCAB; v += 256u) {
        let p = probability(logits[row * VOCAB + v], norm);
        let b = probability(logits[other * VOCAB + v], other_norm);
        let both = p + b;
        if (both > 0.0) {
            sum += both * gap((p - b) / both);
        }
    }
    return clamp(workgroup_sum(sum, lane) / (2.0 * 0.6931471805599453), 0.0, 1.0);
}
{% endif %}
{% if evaluations %}

// Of q_t: ln Z_t, the mean of d, and its variance.
fn tilted(answer: u32, row: u32, last: Best, t: f32, lane: u32) -> vec3<f32> {
    var highest = LOWEST;
    var sums = vec3<f32>(0.0);
    for (var v = lane; v < VOCAB; v += 256u) {
        let anchor = logits[row * VOCAB + v];
        let both = parts(answer, anchor, v);
        let y = finite(both.x + t * both.y);
        if (y > LOWEST && is_kept(anchor, v, last)) {
            if (y > highest) {
                sums *= exp(highest - y);
                highest = y;
            }
            sums += exp(y - highest) * vec3<f32>(1.0, both.y, both.y * both.y);
        }
    }
    let top = workgroup_best(Best(highest, lane), lane).value;
    sums *= exp(highest - top);
    let z = workgroup_sum(sums.x, lane);
    let mean = workgroup_sum(sums.y, lane) / z;
    let square = workgroup_sum(sums.z, lane) / z;
    return vec3<f32>(top + log(z), mean, max(square - mean * mean, 0.0));
}
{% endif %}

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let answer = group.y;
    let row = u32(stream_rows[answer * STREAMS]);
    if (local.x == 0u) {
        cuts = settings[{{ slot.beta }}] > 0.0;
    }
    workgroupBarrier();
    var last = Best(LOWEST, VOCAB);
    if (workgroupUniformLoad(&cuts)) {
        var best = Best(LOWEST, 0u);
        for (var v = local.x; v < VOCAB; v += 256u) {
            best = better(best, Best(finite(logits[row * VOCAB + v]), v));
        }
        last.value = workgroup_best(best, local.x).value + log(settings[{{ slot.beta }}]);
    }
{% if nucleus or jsd %}
    let norm = norm_of(row, local.x);
{% endif %}
{% if nucleus %}
    let of_nucleus = nucleus(row, norm, settings[{{ slot.nucleus }}], local.x);
    if (of_nucleus.value >= last.value) {
        last = of_nucleus;
    }
{% endif %}
    var t = 1.0;
{% if jsd %}
    t = disagreement(row, norm, u32(stream_rows[answer * STREAMS + 1u]), local.x);
{% endif %}
    var low_kl = -1.0;
{% if evaluations %}
    let budget = settings[{{ slot.budget }}];
    let target_root = sqrt(max(budget - min(0.0005, 0.002 * budget), 0.0));
    let rest = tilted(answer, row, last, 0.0, local.x).x;
    let most = t;
    var low = 0.0;
    low_kl = 0.0;
    var high = most;
    for (var evaluation = 0u; evaluation < {{ evaluations }}u; evaluation++) {
        let at = tilted(answer, row, last, t, local.x);
        let kl = max(t * at.y - (at.x - rest), 0.0);
        if (budget > 0.0 && kl <= budget) {
            low = t;
            low_kl = kl;
        } else {
            high = t;
        }
        let root = sqrt(kl);
        let next = t + (target_root - root) * 2.0 * root / max(t * at.z, 1e-30);
        t = select((low + high) / 2.0, next, next > low && next < high);
        t = select(t, most, low == most);
    }
    t = low;
{% endif %}
    if (local.x == 0u && group.x == 0u) {
        leaning[answer * 2u] = t;
        leaning[answer * 2u + 1u] = low_kl;
    }
    let share = (VOCAB + SHARES - 1u) / SHARES;
    let end = min(VOCAB, (group.x + 1u) * share);
    for (var v = group.x * share + local.x; v < end; v += 256u) {
        let anchor = logits[row * VOCAB + v];
        let both = parts(answer, anchor, v);
        scores[answer * VOCAB + v] = select(both.x + t * both.y, LOWEST, last.value > LOWEST && !is_kept(anchor, v, last));
    }
}
