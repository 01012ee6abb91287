// A quantized matrix times many rows: what `matvec.wgsl` computes, for prefill.
//
//     y[t, o] = sum_i weight[o, i] * n[t, i]; norm, "add" and "silu_mul" as in matvec.wgsl
//
// A workgroup computes a tile of TOKENS tokens by 64 columns (32 outputs and their 32 partners for silu_mul). Block
// by block it decodes the weights once into workgroup memory, beside the tokens' inputs; an invocation sums
// 4 tokens by 4 columns, 16 columns apart. The norm's sum of squares rides along with the loads of x.
// Dispatch: (ceil(width / 64), ceil(tokens / TOKENS), 1); width / 32 for silu_mul.
// Tolerance against the CPU twin: 4e-5 * sqrt(inputs), absolute below 1 and relative above.

@group(0) @binding(0) var<storage, read_write> words: array<u32>; // words [tiles, blocks, words, TILE]
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>; // x [tokens, {{ inputs }}]
{% set next = 2 %}
{% if norm %}
@group(0) @binding({{ next }}) var<storage, read_write> gain: array<vec4<f32>>; // gain [{{ inputs }}]
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
const TOKENS: u32 = {{ tokens }}u;
const COLUMNS: u32 = {{ 32 if gated else 64 }}u;
{% include "common/blocks.wgsl" %}
{% set invocations = 4 * tokens %}

// Both in quads of 4 inputs: weights [8, 64] and inputs [TOKENS, 8] of the block at hand.
var<workgroup> tile_weights: array<vec4<f32>, 512>;
var<workgroup> tile_x: array<vec4<f32>, {{ 8 * tokens }}>;

@compute @workgroup_size({{ invocations }}, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) member: u32,
) {
    let tokens = arrayLength(&y) / WIDTH;
    let first_token = group.y * TOKENS;
    let first = group.x * COLUMNS;
    let column = member % 16u;
    let row = member / 16u * 4u;
{% for t in range(4) %}
    var sums{{ t }} = vec4<f32>(0.0);
{% endfor %}
{% if norm %}
    var squares = vec2<f32>(0.0);
{% endif %}
    for (var block = 0u; block < BLOCKS; block++) {
{% for i in range(256 // invocations) %}
        {
            let lane = (member + {{ i * invocations }}u) % 64u;
            let w = (member + {{ i * invocations }}u) / 64u;
{% if gated %}
            let output = first + lane % 32u + (lane / 32u) * WIDTH;
{% else %}
            let output = first + lane;
{% endif %}
            let at = block_at(output / TILE, block) + output % TILE;
            let quads = block_values(at, block_scale(at, block), w);
            tile_weights[w * 64u + lane] = quads.low;
            tile_weights[(w + 4u) * 64u + lane] = quads.high;
        }
{% endfor %}
{% for i in range(2) %}
        {
            let at = member + {{ i * invocations }}u;
            let token = min(first_token + at / 8u, tokens - 1u);
            let quad = x[token * (INPUTS / 4u) + block * 8u + at % 8u];
{% if norm %}
            squares[{{ i }}] += dot(quad, quad);
            tile_x[at] = quad * gain[block * 8u + at % 8u];
{% else %}
            tile_x[at] = quad;
{% endif %}
        }
{% endfor %}
        workgroupBarrier();
        for (var q = 0u; q < 8u; q++) {
{% for c in range(4) %}
            let weight{{ c }} = tile_weights[q * 64u + column + {{ 16 * c }}u];
{% endfor %}
{% for t in range(4) %}
            let x{{ t }} = tile_x[(row + {{ t }}u) * 8u + q];
            sums{{ t }} += vec4<f32>(
                dot(x{{ t }}, weight0), dot(x{{ t }}, weight1), dot(x{{ t }}, weight2), dot(x{{ t }}, weight3));
{% endfor %}
        }
        workgroupBarrier();
    }
{% if norm %}
    tile_x[member] = vec4<f32>(squares.x);
    tile_x[member + {{ invocations }}u] = vec4<f32>(squares.y);
    workgroupBarrier();
{% endif %}
{% for t in range(4) %}
    if (first_token + row + {{ t }}u < tokens) {
{% if norm %}
        var square = 0.0;
        for (var q = 0u; q < 8u; q++) {
            square += tile_x[(row + {{ t }}u) * 8u + q].x;
        }
        let values = sums{{ t }} * inverseSqrt(square / f32(INPUTS) + {{ epsilon }});
{% else %}
        let values = sums{{ t }};
{% endif %}
{% for c in range(2 if gated else 4) %}
        if (first + column + {{ 16 * c }}u < WIDTH) {
            let at = (first_token + row + {{ t }}u) * WIDTH + first + column + {{ 16 * c }}u;
{% if gated %}
            y[at] = values[{{ c }}] / (1.0 + exp(-values[{{ c }}])) * values[{{ c + 2 }}];
{% elif after == "add" %}
            y[at] = values[{{ c }}] + residual[at];
{% else %}
            y[at] = values[{{ c }}];
{% endif %}
        }
{% endfor %}
    }
{% endfor %}
}
