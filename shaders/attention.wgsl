// Causal grouped-query attention over the paged cache, with an online softmax.
//
//     out[t, h] = sum_j softmax_j(q[t, h] . k[j, h'] / sqrt(head_dim)) v[j, h'],   j <= position of t
//                 and, with a window, j > position of t - WINDOW
//
// with h' = h / GROUP. A workgroup of LANES takes one tile of up to QUERIES tokens of one row, one key head with the
// GROUP query heads that share it, and one of SPLITS shares of the row's pages; with several splits it
// leaves its unnormalized sum and its (maximum, sum of weights) to attention_combine. Where a workgroup is one
// subgroup, queries and weights are loaded once and handed around.
// Source: Ainslie et al. 2023 (arXiv 2305.13245); Milakov & Gimelshein 2018 (arXiv 1805.02867), alg. 3.
// Dispatch: (tiles, kv_heads, splits). Tolerance against the CPU twin: 2e-5 relative.

@group(0) @binding(0) var<storage, read_write> q: array<f32>;     // q [tokens, heads, head_dim]
@group(0) @binding(1) var<storage, read_write> cache: array<u32>; // see common/pages.wgsl
@group(0) @binding(2) var<storage, read_write> pages: array<i32>; // pages [all rows' pages, row by row]
@group(0) @binding(3) var<storage, read_write> tiles: array<i32>; // tiles [tiles, 4]: first token, tokens, its position, where its row's pages begin
@group(0) @binding(4) var<storage, read_write> out: array<f32>;   // out [tokens, heads, splits, head_dim]
{% if splits > 1 %}
@group(0) @binding(5) var<storage, read_write> weights: array<f32>; // weights [tokens, heads, splits, 2]: maximum, sum
{% endif %}

const GROUP: u32 = {{ group }}u;
const QUERIES: u32 = {{ queries }}u;
const SPLITS: u32 = {{ splits }}u;
{% if window %}
const WINDOW: u32 = {{ window }}u;
{% endif %}
const SCALE: f32 = {{ scale }};
{% include "common/pages.wgsl" %}
{% set vectors = group * queries %}
const VECTORS: u32 = GROUP * QUERIES; // query vectors of a tile
const PAIRS: u32 = HEAD_DIM / 2u;
{% set strands = [lanes // (head_dim // 2), 1] | max %}
{% set pairs = [(head_dim // 2 + lanes - 1) // lanes, 1] | max %}
{% set tokens = 64 // lanes %}
{# A decode step hides its latency behind loads that are under way; a prefill has queries enough for that. #}
{% set deep = lanes == 64 and queries == 1 %}
{% set at_once = 8 if deep and head_dim % 16 == 0 else 1 %}
{% set values_at_once = 4 if deep else 1 %}
const LANES: u32 = {{ lanes }}u;
// Invocations that share a pair of dims, each with its own tokens of the page.
const STRANDS: u32 = {{ strands }}u;
const LOWEST: f32 = -3.0e38;

var<workgroup> queries: array<f32, {{ [vectors * head_dim, lanes] | max }}>;
var<workgroup> scores: array<f32, {{ vectors * 64 }}>;
var<workgroup> maxima: array<f32, {{ vectors * 4 }}>;
{% if strands > 1 and not subgroup %}
var<workgroup> totals: array<f32, LANES>;
{% endif %}
var<workgroup> used_pages: u32;
{% if window %}
var<workgroup> seen_page: u32;
{% endif %}

@compute @workgroup_size({{ lanes }}, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
{% if subgroup %}
    @builtin(subgroup_invocation_id) member: u32,
{% endif %}
) {
    let lane = local.x;
    let first = u32(tiles[4u * group.x]);
    let count = u32(tiles[4u * group.x + 1u]);
    let position = u32(tiles[4u * group.x + 2u]);
    let row_pages = u32(tiles[4u * group.x + 3u]);
    let kv_head = group.y;
    let heads = GROUP * KV_HEADS;

    for (var i = lane; i < VECTORS * HEAD_DIM; i += LANES) {
        let vector = i / HEAD_DIM;
        let query = vector / GROUP;
        let head = kv_head * GROUP + vector % GROUP;
        var value = 0.0;
        if (query < count) {
            value = q[((first + query) * heads + head) * HEAD_DIM + i % HEAD_DIM] * SCALE;
        }
        queries[i] = value;
    }
    if (lane == 0u) {
        used_pages = (position + count - 1u) / PAGE + 1u;
{% if window %}
        seen_page = (max(position + 1u, WINDOW) - WINDOW) / PAGE;
{% endif %}
    }
    workgroupBarrier();

{% for n in range(vectors) %}
    var highest{{ n }} = LOWEST;
    var total{{ n }} = 0.0;
{% for p in range(pairs) %}
    var sum{{ n }}_{{ p }} = vec2<f32>(0.0);
{% endfor %}
{% endfor %}
{% if not subgroup %}
    let strand = lane / PAIRS % STRANDS;
    let owns = lane < PAIRS * STRANDS;
{% endif %}
    // Loaded through workgroup memory, so that compilers see that all invocations take the same turns.
    let used = workgroupUniformLoad(&used_pages);
{% if window %}
    // The first page that the tile's first token sees.
    let begin = workgroupUniformLoad(&seen_page);
{% else %}
    let begin = 0u;
{% endif %}
    let share = (used - begin + SPLITS - 1u) / SPLITS;
    let end = min(used, begin + (group.z + 1u) * share);
    for (var at = begin + group.z * share; at < end; at++) {
        let page = u32(pages[row_pages + at]);
        let keys = head_at(page, 0u, kv_head);
        let values = head_at(page, 1u, kv_head);
{% for n in range(vectors) %}
{% for t in range(tokens) %}
        var score{{ n }}_{{ t }} = 0.0;
{% endfor %}
{% endfor %}
{% if subgroup %}
        for (var dim = 0u; dim < HEAD_DIM; dim += LANES) {
{% for n in range(vectors) %}
            let mine{{ n }} = queries[{{ n }}u * HEAD_DIM + dim + member];
{% endfor %}
{% for p in range(subgroup // 2) %}
{% for t in range(tokens) %}
            let key{{ t }}_{{ p }} = key_pair(keys, dim / 2u + {{ p }}u, lane + {{ t }}u * LANES);
{% endfor %}
{% for n in range(vectors) %}
            let query{{ n }}_{{ p }} = vec2<f32>(
                subgroupBroadcast(mine{{ n }}, {{ 2 * p }}u),
                subgroupBroadcast(mine{{ n }}, {{ 2 * p + 1 }}u),
            );
{% for t in range(tokens) %}
            score{{ n }}_{{ t }} += dot(query{{ n }}_{{ p }}, key{{ t }}_{{ p }});
{% endfor %}
{% endfor %}
{% endfor %}
        }
{% else %}
        // Several loads are under way at once.
        for (var pair = 0u; pair < PAIRS; pair += {{ at_once }}u) {
{% for u in range(at_once) %}
{% for t in range(tokens) %}
            let key{{ t }}_{{ u }} = key_pair(keys, pair + {{ u }}u, lane + {{ t }}u * LANES);
{% endfor %}
{% endfor %}
{% for n in range(vectors) %}
{% for u in range(at_once) %}
            let query{{ n }}_{{ u }} = vec2<f32>(
                queries[{{ n }}u * HEAD_DIM + 2u * (pair + {{ u }}u)],
                queries[{{ n }}u * HEAD_DIM + 2u * (pair + {{ u }}u) + 1u],
            );
{% for t in range(tokens) %}
            score{{ n }}_{{ t }} += dot(query{{ n }}_{{ u }}, key{{ t }}_{{ u }});
{% endfor %}
{% endfor %}
{% endfor %}
        }
{% endif %}
{% for t in range(tokens) %}
        let token{{ t }} = lane + {{ t }}u * LANES;
{% for n in range(vectors) %}
        scores[{{ n * 64 }}u + token{{ t }}] =
            select(LOWEST, score{{ n }}_{{ t }}, at * PAGE + token{{ t }} <= position + {{ n // group }}u{% if window %} && at * PAGE + token{{ t }} + WINDOW > position + {{ n // group }}u{% endif %});
{% endfor %}
{% endfor %}
        workgroupBarrier();
        for (var i = lane; i < VECTORS * 4u; i += LANES) {
            var highest = LOWEST;
            for (var j = 0u; j < 16u; j++) {
                highest = max(highest, scores[i * 16u + j]);
            }
            maxima[i] = highest;
        }
        workgroupBarrier();
{% for n in range(vectors) %}
        let new{{ n }} = max(
            max(highest{{ n }}, max(maxima[{{ 4 * n }}u], maxima[{{ 4 * n + 1 }}u])),
            max(maxima[{{ 4 * n + 2 }}u], maxima[{{ 4 * n + 3 }}u]),
        );
        let shrink{{ n }} = exp(highest{{ n }} - new{{ n }});
        highest{{ n }} = new{{ n }};
        total{{ n }} *= shrink{{ n }};
{% for p in range(pairs) %}
        sum{{ n }}_{{ p }} *= shrink{{ n }};
{% endfor %}
{% for t in range(tokens) %}
        scores[{{ n * 64 }}u + token{{ t }}] = exp(scores[{{ n * 64 }}u + token{{ t }}] - new{{ n }});
{% endfor %}
{% endfor %}
        workgroupBarrier();
        let last = position + count - 1u;
{% if subgroup %}
        for (var first_j = 0u; first_j < PAGE && at * PAGE + first_j <= last; first_j += LANES) {
{% for n in range(vectors) %}
            let weights{{ n }} = scores[{{ n * 64 }}u + first_j + member];
{% endfor %}
{% for j in range(subgroup) %}
            // What lies past the last token was never written.
            let written{{ j }} = at * PAGE + first_j + {{ j }}u <= last;
{% for p in range(pairs) %}
            let value{{ j }}_{{ p }} = select(
                vec2<f32>(0.0),
                value_pair(values, min(lane + {{ p * lanes }}u, PAIRS - 1u), first_j + {{ j }}u),
                written{{ j }},
            );
{% endfor %}
{% for n in range(vectors) %}
            let weight{{ n }}_{{ j }} = subgroupBroadcast(weights{{ n }}, {{ j }}u);
            total{{ n }} += weight{{ n }}_{{ j }};
{% for p in range(pairs) %}
            sum{{ n }}_{{ p }} += weight{{ n }}_{{ j }} * value{{ j }}_{{ p }};
{% endfor %}
{% endfor %}
{% endfor %}
        }
{% else %}
        if (owns) {
            // What lies past the last token was never written, and its weight is 0.
            let written = min(PAGE, last + 1u - at * PAGE);
            for (var j = strand; j < written; j += {{ values_at_once }}u * STRANDS) {
{% for u in range(values_at_once) %}
                let place{{ u }} = min(j + {{ u }}u * STRANDS, PAGE - 1u);
                let is_written{{ u }} = j + {{ u }}u * STRANDS < written;
{% for p in range(pairs) %}
                let value{{ u }}_{{ p }} = select(
                    vec2<f32>(0.0),
                    value_pair(values, min(lane % PAIRS + {{ p * lanes }}u, PAIRS - 1u), place{{ u }}),
                    is_written{{ u }},
                );
{% endfor %}
{% endfor %}
{% for n in range(vectors) %}
{% for u in range(values_at_once) %}
                let weight{{ n }}_{{ u }} = select(0.0, scores[{{ n * 64 }}u + place{{ u }}], is_written{{ u }});
                total{{ n }} += weight{{ n }}_{{ u }};
{% for p in range(pairs) %}
                sum{{ n }}_{{ p }} += weight{{ n }}_{{ u }} * value{{ u }}_{{ p }};
{% endfor %}
{% endfor %}
{% endfor %}
            }
        }
{% endif %}
        workgroupBarrier();
    }
{% for n in range(vectors) %}
{% if strands > 1 and not subgroup %}
    // The strands' shares meet; queries and scores are free by now.
    queries[lane] = sum{{ n }}_0.x;
    scores[lane] = sum{{ n }}_0.y;
    totals[lane] = total{{ n }};
    workgroupBarrier();
    if (lane < PAIRS) {
        for (var other = lane + PAIRS; other < PAIRS * STRANDS; other += PAIRS) {
            sum{{ n }}_0 += vec2<f32>(queries[other], scores[other]);
            total{{ n }} += totals[other];
        }
    }
    workgroupBarrier();
{% endif %}
    if (lane < PAIRS && {{ n // group }}u < count) {
        let head = kv_head * GROUP + {{ n % group }}u;
        let slot = ((first + {{ n // group }}u) * heads + head) * SPLITS + group.z;
{% if splits > 1 %}
        if (lane == 0u) {
            weights[2u * slot] = highest{{ n }};
            weights[2u * slot + 1u] = total{{ n }};
        }
{% set scaled = "" %}
{% else %}
{% set scaled = " / total" ~ n %}
{% endif %}
{% for p in range(pairs) %}
        if (lane + {{ p * lanes }}u < PAIRS) {
            out[slot * HEAD_DIM + 2u * (lane + {{ p * lanes }}u)] = sum{{ n }}_{{ p }}.x{{ scaled }};
            out[slot * HEAD_DIM + 2u * (lane + {{ p * lanes }}u) + 1u] = sum{{ n }}_{{ p }}.y{{ scaled }};
        }
{% endfor %}
    }
{% endfor %}
}
