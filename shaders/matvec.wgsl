// A quantized matrix times up to ROWS rows at a time, each weight read once for all of them, with
// what comes before and after it in a layer fused in.
//
//     y[t, o] = sum_i weight[o, i] * n[t, i]
//     n[t, i] = x[t, i]                                                     plain
//             = x[t, i] * gain[i] / sqrt(mean_j x[t, j]^2 + epsilon)        norm
//     and then   y[t, o] + residual[t, o]                                   after = "add"
//                silu(y[t, o]) * y[t, o + outputs / 2]                      after = "silu_mul"
//
// Source: Zhang & Sennrich 2019 (arXiv 1910.07467), eq. 4; Shazeer 2020 (arXiv 2002.05202), eq. 6.
// A workgroup of LANES x SLICES computes LANES * OUTS outputs of one tile; its slices share the blocks of
// the row. The norm's sum of squares rides along with the product. With subgroups, a subgroup loads
// each x once and hands it around. Blocks of one scale are scaled after the product, others before.
// Subgroups go with one slice alone: their control flow must be uniform.
// Dispatch: (tiles * TILE / (LANES * OUTS), ceil(tokens / ROWS), 1); half of the tiles for silu_mul.
// Tolerance against the CPU twin: 4e-5 * sqrt(inputs), absolute below 1 and relative above.

@group(0) @binding(0) var<storage, read_write> words: array<u32>; // words [tiles, blocks, words, TILE]
{% set x_type = "f32" if subgroup else "vec4<f32>" %}
@group(0) @binding(1) var<storage, read_write> x: array<{{ x_type }}>; // x [tokens, {{ inputs }}]
{% set next = 2 %}
{% if norm %}
@group(0) @binding({{ next }}) var<storage, read_write> gain: array<{{ x_type }}>; // gain [{{ inputs }}]
{% set next = next + 1 %}
{% endif %}
{% if after == "add" %}
@group(0) @binding({{ next }}) var<storage, read_write> residual: array<f32>; // residual [tokens, {{ outputs }}]
{% set next = next + 1 %}
{% endif %}
{% set gated = after == "silu_mul" %}
{% set width = outputs // 2 if gated else outputs %}
@group(0) @binding({{ next }}) var<storage, read_write> y: array<f32>; // y [tokens, {{ width }}]

const INPUTS: u32 = {{ inputs }}u;
const WIDTH: u32 = {{ width }}u;
const ROWS: u32 = {{ rows }}u;
const LANES: u32 = {{ lanes }}u;
const SLICES: u32 = {{ slices }}u;
const OUTS: u32 = {{ outs }}u;
{% include "common/blocks.wgsl" %}
{% set row_range = range(rows) %}
{% set all_outs = outs * 2 if gated else outs %}
{% set halves = layout.halves %}
{% if slices > 1 %}
{% set sums = rows * (all_outs * lanes + (1 if norm else 0)) %}
var<workgroup> partial: array<f32, {{ (slices - 1) * sums }}>;
{% endif %}

@compute @workgroup_size({{ lanes }}, {{ slices }}, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
{% if subgroup %}
    @builtin(subgroup_invocation_id) member: u32,
{% endif %}
) {
    let tokens = arrayLength(&y) / WIDTH;
    let first = group.x * LANES * OUTS;
    let tile = first / TILE;
    let lane = first % TILE + local.x;
{% for r in row_range %}
    let token{{ r }} = min(group.y * ROWS + {{ r }}u, tokens - 1u);
{% for o in range(all_outs) %}
    var sum{{ o }}_{{ r }} = 0.0;
{% endfor %}
{% if norm %}
    var squares{{ r }} = 0.0;
{% endif %}
{% endfor %}
{% set body %}
{% for o in range(all_outs) %}
{% if o < outs %}
        let at{{ o }} = block_at(tile, block) + lane + {{ o }}u * LANES;
{% else %}
        let at{{ o }} = at{{ o - outs }} + (WIDTH / TILE) * TILE_WORDS;
{% endif %}
{% if halves %}
        let scale{{ o }} = block_scale(at{{ o }}, block);
{% endif %}
{% endfor %}
{% for r in row_range %}
{% if not halves %}
        var total{{ r }} = vec4<f32>(0.0);
{% endif %}
{% for o in range(all_outs) %}
        var dot{{ o }}_{{ r }} = 0.0;
{% endfor %}
{% if subgroup %}
{% for c in range(32 // subgroup) %}
        var x{{ r }}_{{ c }} = x[token{{ r }} * INPUTS + block * 32u + {{ c * subgroup }}u + member];
{% if norm %}
        squares{{ r }} += x{{ r }}_{{ c }} * x{{ r }}_{{ c }};
        x{{ r }}_{{ c }} *= gain[block * 32u + {{ c * subgroup }}u + member];
{% endif %}
{% endfor %}
{% endif %}
{% endfor %}
{% for w in range(4) %}
{% for o in range(all_outs) %}
{% if halves %}
        let quads{{ o }}_{{ w }} = block_values(at{{ o }}, scale{{ o }}, {{ w }}u);
{% else %}
        let quads{{ o }}_{{ w }} = block_quads(at{{ o }}, {{ w }}u);
{% endif %}
{% endfor %}
{% if norm and not subgroup %}
        let gain_low{{ w }} = gain[block * 8u + {{ w }}u];
        let gain_high{{ w }} = gain[block * 8u + {{ w + 4 }}u];
{% endif %}
{% for r in row_range %}
{% if subgroup %}
        let low{{ w }}_{{ r }} = vec4<f32>(
{% for i in range(4 * w, 4 * w + 4) %}
            subgroupBroadcast(x{{ r }}_{{ i // subgroup }}, {{ i % subgroup }}u),
{% endfor %}
        );
        let high{{ w }}_{{ r }} = vec4<f32>(
{% for i in range(4 * w + 16, 4 * w + 20) %}
            subgroupBroadcast(x{{ r }}_{{ i // subgroup }}, {{ i % subgroup }}u),
{% endfor %}
        );
{% else %}
        var low{{ w }}_{{ r }} = x[token{{ r }} * (INPUTS / 4u) + block * 8u + {{ w }}u];
        var high{{ w }}_{{ r }} = x[token{{ r }} * (INPUTS / 4u) + block * 8u + {{ w + 4 }}u];
{% if norm %}
        squares{{ r }} += dot(low{{ w }}_{{ r }}, low{{ w }}_{{ r }}) + dot(high{{ w }}_{{ r }}, high{{ w }}_{{ r }});
        low{{ w }}_{{ r }} *= gain_low{{ w }};
        high{{ w }}_{{ r }} *= gain_high{{ w }};
{% endif %}
{% endif %}
{% if not halves %}
        total{{ r }} += low{{ w }}_{{ r }} + high{{ w }}_{{ r }};
{% endif %}
{% for o in range(all_outs) %}
        dot{{ o }}_{{ r }} += dot(quads{{ o }}_{{ w }}.low, low{{ w }}_{{ r }})
            + dot(quads{{ o }}_{{ w }}.high, high{{ w }}_{{ r }});
{% endfor %}
{% endfor %}
{% endfor %}
{% for o in range(all_outs) %}
{% if not halves %}
        let scale{{ o }} = block_scale(at{{ o }}, block);
{% endif %}
{% for r in row_range %}
{% if halves %}
        sum{{ o }}_{{ r }} += dot{{ o }}_{{ r }};
{% else %}
        sum{{ o }}_{{ r }} += scale{{ o }}.x * dot{{ o }}_{{ r }}
            + scale{{ o }}.y * (total{{ r }}.x + total{{ r }}.y + total{{ r }}.z + total{{ r }}.w);
{% endif %}
{% endfor %}
{% endfor %}
{% endset %}
{# A GPU hides the latency of its memory behind loads that are under way: few rows leave registers for several blocks. #}
{% set unroll = 1 if slices == 1 else 4 if rows == 1 else 2 if rows <= 2 else 1 %}
{% set unroll = unroll if inputs // 32 >= unroll * slices else 1 %}
    var next = {{ "local.y" if slices > 1 else "0u" }};
{% if unroll > 1 %}
    for (; next < BLOCKS - {{ (unroll - 1) * slices }}u; next += {{ unroll * slices }}u) {
{% for u in range(unroll) %}
        {
        let block = next + {{ u * slices }}u;
{{ body }}        }
{% endfor %}
    }
{% endif %}
    for (; next < BLOCKS; next += SLICES) {
        let block = next;
{{ body }}    }
{% if subgroup and norm %}
{% for r in row_range %}
    squares{{ r }} = subgroupAdd(squares{{ r }});
{% endfor %}
{% endif %}
{% if slices > 1 %}
    // The other slices leave their sums to the first: for each row all outputs of all lanes, then the squares.
    if (local.y > 0u) {
        let mine = (local.y - 1u) * {{ sums }}u;
{% for r in row_range %}
{% for o in range(all_outs) %}
        partial[mine + {{ r * all_outs + o }}u * LANES + local.x] = sum{{ o }}_{{ r }};
{% endfor %}
{% if norm %}
        if (local.x == 0u) {
            partial[mine + {{ rows * all_outs }}u * LANES + {{ r }}u] = squares{{ r }};
        }
{% endif %}
{% endfor %}
    }
    workgroupBarrier();
    if (local.y > 0u) {
        return;
    }
    for (var slice = 1u; slice < SLICES; slice++) {
{% for r in row_range %}
{% for o in range(all_outs) %}
        sum{{ o }}_{{ r }} += partial[(slice - 1u) * {{ sums }}u + {{ r * all_outs + o }}u * LANES + local.x];
{% endfor %}
{% if norm %}
        squares{{ r }} += partial[(slice - 1u) * {{ sums }}u + {{ rows * all_outs }}u * LANES + {{ r }}u];
{% endif %}
{% endfor %}
    }
{% endif %}
{% for r in row_range %}
    if (group.y * ROWS + {{ r }}u < tokens) {
{% if norm %}
        let norm{{ r }} = inverseSqrt(squares{{ r }} / f32(INPUTS) + {{ epsilon }});
{% endif %}
{% for o in range(outs) %}
        if (first + local.x + {{ o }}u * LANES < WIDTH) {
            let at = token{{ r }} * WIDTH + first + local.x + {{ o }}u * LANES;
            let value = sum{{ o }}_{{ r }}{% if norm %} * norm{{ r }}{% endif %};
{% if gated %}
            y[at] = value / (1.0 + exp(-value)) * sum{{ o + outs }}_{{ r }}{% if norm %} * norm{{ r }}{% endif %};
{% elif after == "add" %}
            y[at] = value + residual[at];
{% else %}
            y[at] = value;
{% endif %}
        }
{% endfor %}
    }
{% endfor %}
}
