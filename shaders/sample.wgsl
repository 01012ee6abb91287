// One token for each answer, from its scores.
//
// In this order: penalties, temperature, top-k, top-p, min-p, draw. Tokens stand best first, equal ones by id:
//
//     p = penalized score (Keskar et al. 2019, arXiv 1909.05858, eq. 1; then minus frequency * count and presence)
//     w = exp((p - max p) / temperature)
//     kept: the first top_k; of these while the w before sum to less than top_p of theirs (Holtzman et al. 2019,
//           arXiv 1904.09751); of these with w >= min_p (Nguyen et al. 2024, arXiv 2407.01082)
//     drawn: argmax over the kept of p / temperature + Gumbel noise (Gumbel 1954), which draws in proportion to w
//
// The noise is Philox4x32-10 (Salmon et al. 2011), keyed by the seed and counted by token, step and answer: it depends on
// nothing else. Temperature 0 takes the best. Log-probs are those of the scores before penalties.
//
// The best CANDIDATES tokens or fewer, found with a histogram, are sorted in workgroup memory; where they don't
// settle what is kept (a flat distribution), bisection over all scores does, 32 + 18 passes.
// Dispatch: one workgroup an answer, after sample_summary.wgsl. Tolerance against the CPU twin: log-probs 1e-4.

@group(0) @binding(0) var<storage, read_write> scores: array<f32>;      // scores [answers, {{ vocab }}]
@group(0) @binding(1) var<storage, read_write> stream_rows: array<i32>; // stream_rows [answers, {{ streams }}]
@group(0) @binding(2) var<storage, read_write> settings: array<f32>;    // settings [{{ slot | length }}] of src/settings.rs
@group(0) @binding(3) var<storage, read_write> key: array<i32>;         // key [3 + answers]: seed low, seed high, step, each answer's number
@group(0) @binding(4) var<storage, read_write> counts: array<i32>;      // counts [answers, {{ vocab }}], updated
@group(0) @binding(5) var<storage, read_write> tokens: array<i32>;      // tokens [rows], updated
@group(0) @binding(6) var<storage, read_write> chosen: array<i32>;      // chosen [answers, {{ 4 + 2 * top }}]: id or -1, log-prob bits, leaning bits, then pairs of the best
@group(0) @binding(7) var<storage, read_write> summary: array<i32>;     // summary [answers, {{ 2 + 4 * shares }}] of sample_summary.wgsl

const VOCAB: u32 = {{ vocab }}u;
const STREAMS: u32 = {{ streams }}u;
const TOP: u32 = {{ top }}u;
const CANDIDATES: u32 = 1024u;
const BINS: u32 = 256u;
// Bins of the histogram for one unit of (max p - p) / temperature.
const BIN_SCALE: f32 = 8.0;
{% include "common/reduce.wgsl" %}
{% include "common/penalties.wgsl" %}
{% include "common/sortable.wgsl" %}

var<workgroup> bins: array<atomic<u32>, BINS>;
var<workgroup> candidates: array<f32, CANDIDATES>;
var<workgroup> candidate_ids: array<u32, CANDIDATES>;
var<workgroup> found: atomic<u32>;
var<workgroup> last_bin: u32;
// Settings that decide what all do next.
var<workgroup> draws: bool;
var<workgroup> limits_count: bool;
// What is kept: tokens above `edge`, and those equal to it up to `edge_id`.
var<workgroup> edge: f32;
var<workgroup> edge_id: u32;
var<workgroup> settled: bool;

fn multiply(a: u32, b: u32) -> vec2<u32> {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let mid = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
    let mid2 = (a & 0xffffu) * (b >> 16u) + (mid & 0xffffu);
    return vec2<u32>(a * b, (a >> 16u) * (b >> 16u) + (mid >> 16u) + (mid2 >> 16u));
}

fn philox(counter: vec4<u32>, start: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var k = start;
    for (var round = 0u; round < 10u; round++) {
        let a = multiply(0xd2511f53u, c.x);
        let b = multiply(0xcd9e8d57u, c.z);
        c = vec4<u32>(b.y ^ c.y ^ k.x, b.x, a.y ^ c.w ^ k.y, a.x);
        k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
}

fn gumbel(answer: u32, v: u32) -> f32 {
    let counter = vec4<u32>(v / 4u, u32(key[2]), u32(key[3u + answer]), 0u);
    let words = philox(counter, vec2<u32>(u32(key[0]), u32(key[1])));
    let uniform01 = (f32(words[v % 4u] >> 9u) + 0.5) / 8388608.0;
    return -log(-log(uniform01));
}

fn weight(p: f32, highest: f32) -> f32 {
    return select(0.0, exp((p - highest) / settings[{{ slot.temperature }}]), p > LOWEST);
}

// The mass that ends the nucleus; out of reach where top-p is off, whatever rounding does.
fn nucleus_limit(whole: f32) -> f32 {
    return select(3.4e38, settings[{{ slot.top_p }}] * whole, settings[{{ slot.top_p }}] < 1.0);
}

// Mass (or number) of the tokens that stand before `limit`, and with it where `with_it`.
fn before(answer: u32, limit: Best, highest: f32, counting: bool, kept: Best, lane: u32) -> f32 {
    var sum = 0.0;
    for (var v = lane; v < VOCAB; v += 256u) {
        let p = penalized(answer, v);
        let ahead = p > limit.value || (p == limit.value && v < limit.id);
        let inside = p > kept.value || (p == kept.value && v <= kept.id);
        if (ahead && inside && p > LOWEST) {
            sum += select(weight(p, highest), 1.0, counting);
        }
    }
    return workgroup_sum(sum, lane);
}

// The last token such that less than `limit` (mass or number) stands before it, among the kept ones.
fn bisect(answer: u32, limit: f32, highest: f32, counting: bool, kept: Best, lane: u32) -> Best {
    // The least value with which the mass before a token of that value and id 0 is below the limit.
    var low = sortable(LOWEST) + 1u;
    var high = sortable(highest);
    for (var step = 0u; step < 32u; step++) {
        let middle = low + (high - low) / 2u;
        let sum = before(answer, Best(unsortable(middle), 0u), highest, counting, kept, lane);
        if (sum < limit) {
            high = middle;
        } else {
            low = min(middle + 1u, high);
        }
    }
    let value = unsortable(high);
    var first = 0u;
    var last = VOCAB - 1u;
    for (var step = 0u; step < 18u; step++) {
        let middle = last - (last - first) / 2u;
        let sum = before(answer, Best(value, middle), highest, counting, kept, lane);
        if (sum < limit) {
            first = middle;
        } else {
            last = max(middle, first + 1u) - 1u;
        }
    }
    return Best(value, first);
}

@compute @workgroup_size(256, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let lane = local.x;
    let answer = group.x;

    // The best token after penalties, and the scores' logarithm of the sum of exponentials: the shares' put together.
    let leaning = answer * {{ 2 + 4 * shares }}u;
    var mine = Best(LOWEST, VOCAB);
    var highest_score = LOWEST;
    var sum = 0.0;
    if (lane < {{ shares }}u) {
        let at = leaning + 2u + 4u * lane;
        mine = Best(bitcast<f32>(summary[at]), u32(summary[at + 1u]));
        highest_score = bitcast<f32>(summary[at + 2u]);
        sum = bitcast<f32>(summary[at + 3u]);
    }
    let best = workgroup_best(mine, lane);
    let top_score = workgroup_best(Best(highest_score, lane), lane).value;
    let log_sum = top_score + log(workgroup_sum(sum * exp(highest_score - top_score), lane));
    let highest = best.value;
    var id = best.id;

    if (lane == 0u) {
        draws = settings[{{ slot.temperature }}] > 0.0 && highest > LOWEST;
        limits_count = settings[{{ slot.top_k }}] > 0.0;
        settled = false;
        edge = LOWEST;
        edge_id = 0u;
        atomicStore(&found, 0u);
    }
    for (var bin = lane; bin < BINS; bin += 256u) {
        atomicStore(&bins[bin], 0u);
    }
    for (var i = lane; i < CANDIDATES; i += 256u) {
        candidates[i] = LOWEST;
        candidate_ids[i] = 0xffffffffu;
    }
    workgroupBarrier();
    if (workgroupUniformLoad(&draws)) {
        let bin_scale = BIN_SCALE / settings[{{ slot.temperature }}];
        var mass = 0.0;
        for (var v = lane; v < VOCAB; v += 256u) {
            let p = penalized(answer, v);
            let bin = (highest - p) * bin_scale;
            if (p > LOWEST && bin < f32(BINS)) {
                atomicAdd(&bins[u32(bin)], 1u);
            }
            mass += weight(p, highest);
        }
        let all = workgroup_sum(mass, lane);
        if (lane == 0u) {
            // Bins 0 to last_bin - 1 hold at most CANDIDATES tokens.
            var count = 0u;
            last_bin = 0u;
            for (; last_bin < BINS; last_bin++) {
                count += atomicLoad(&bins[last_bin]);
                if (count > CANDIDATES) {
                    break;
                }
            }
        }
        workgroupBarrier();
        for (var v = lane; v < VOCAB; v += 256u) {
            let p = penalized(answer, v);
            let bin = (highest - p) * bin_scale;
            if (p > LOWEST && bin < f32(BINS) && u32(bin) < last_bin) {
                let at = atomicAdd(&found, 1u);
                candidates[at] = p;
                candidate_ids[at] = v;
            }
        }
        workgroupBarrier();
        // Bitonic sort (Batcher 1968), best first.
        for (var size = 2u; size <= CANDIDATES; size *= 2u) {
            for (var stride = size / 2u; stride > 0u; stride /= 2u) {
                for (var i = lane; i < CANDIDATES / 2u; i += 256u) {
                    let a = 2u * i - (i & (stride - 1u));
                    let b = a + stride;
                    let x = Best(candidates[a], candidate_ids[a]);
                    let y = Best(candidates[b], candidate_ids[b]);
                    let y_first = y.value > x.value || (y.value == x.value && y.id < x.id);
                    if (y_first == ((a & size) == 0u)) {
                        candidates[a] = y.value;
                        candidate_ids[a] = y.id;
                        candidates[b] = x.value;
                        candidate_ids[b] = x.id;
                    }
                }
                workgroupBarrier();
            }
        }
        if (lane == 0u) {
            let count = atomicLoad(&found);
            let top_k = select(VOCAB, u32(settings[{{ slot.top_k }}]), settings[{{ slot.top_k }}] > 0.0);
            var whole = all;
            var usable = top_k <= count;
            if (usable) {
                whole = 0.0;
                for (var i = 0u; i < top_k; i++) {
                    whole += weight(candidates[i], highest);
                }
            }
            // Without top-k, or with one past the candidates, the mass of what it leaves is not known here.
            usable = usable || top_k >= VOCAB;
            var passed = 0.0;
            var last = 0u;
            for (var i = 0u; i < count; i++) {
                let w = weight(candidates[i], highest);
                if (i > 0u && (i >= top_k || passed >= nucleus_limit(whole) || w < settings[{{ slot.min_p }}])) {
                    settled = usable;
                    break;
                }
                passed += w;
                last = i;
            }
            if (settled) {
                edge = candidates[last];
                edge_id = candidate_ids[last];
            }
        }
        workgroupBarrier();
        let truncates = settings[{{ slot.top_k }}] > 0.0 || settings[{{ slot.top_p }}] < 1.0;
        if (lane == 0u && !truncates && !settled) {
            // min-p alone needs no order.
            edge = max(LOWEST, highest + settings[{{ slot.temperature }}] * log(settings[{{ slot.min_p }}]));
            edge_id = VOCAB;
            settled = true;
        }
        if (!workgroupUniformLoad(&settled)) {
            var kept = Best(LOWEST, VOCAB);
            if (workgroupUniformLoad(&limits_count)) {
                kept = bisect(answer, settings[{{ slot.top_k }}], highest, true, kept, lane);
            }
            let whole = before(answer, Best(LOWEST, 0u), highest, false, kept, lane);
            let nucleus = bisect(answer, nucleus_limit(whole), highest, false, kept, lane);
            if (lane == 0u) {
                edge = nucleus.value;
                edge_id = nucleus.id;
                if (weight(edge, highest) < settings[{{ slot.min_p }}]) {
                    edge = highest + settings[{{ slot.temperature }}] * log(settings[{{ slot.min_p }}]);
                    edge_id = VOCAB;
                }
                if (kept.value > edge || (kept.value == edge && kept.id < edge_id)) {
                    edge = kept.value;
                    edge_id = kept.id;
                }
            }
        }
        let limit = Best(workgroupUniformLoad(&edge), workgroupUniformLoad(&edge_id));
        var drawn = Best(LOWEST, VOCAB);
        for (var v = lane; v < VOCAB; v += 256u) {
            let p = penalized(answer, v);
            if (p > LOWEST && (p > limit.value || (p == limit.value && v <= limit.id) || v == best.id)) {
                drawn = better(drawn, Best((p - highest) / settings[{{ slot.temperature }}] + gumbel(answer, v), v));
            }
        }
        id = workgroup_best(drawn, lane).id;
    }

    let start = answer * (4u + 2u * TOP);
    if (lane == 0u) {
        let is_any = highest > LOWEST;
        chosen[start] = select(-1, i32(id), is_any);
        chosen[start + 1u] = bitcast<i32>(scores[answer * VOCAB + min(id, VOCAB - 1u)] - log_sum);
        chosen[start + 2u] = summary[leaning];
        chosen[start + 3u] = summary[leaning + 1u];
        if (is_any) {
            counts[answer * VOCAB + id] += 1;
            for (var s = 0u; s < STREAMS; s++) {
                tokens[u32(stream_rows[answer * STREAMS + s])] = i32(id);
            }
        }
    }
{% if top > 0 %}
    var above = Best(3.4e38, 0u);
    for (var n = 0u; n < TOP; n++) {
        var next = Best(LOWEST, VOCAB);
        for (var v = lane; v < VOCAB; v += 256u) {
            let score = finite(scores[answer * VOCAB + v]);
            if (score < above.value || (score == above.value && v > above.id)) {
                next = better(next, Best(score, v));
            }
        }
        above = workgroup_best(next, lane);
        if (lane == 0u) {
            chosen[start + 4u + 2u * n] = select(-1, i32(above.id), above.value > LOWEST);
            chosen[start + 5u + 2u * n] = bitcast<i32>(above.value - log_sum);
        }
    }
{% endif %}
}
