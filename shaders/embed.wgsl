// Rows of a quantized matrix: the embeddings of some tokens.
//
//     x[t, i] = weight[tokens[t], i], and 0 for a token outside [FIRST, FIRST + outputs)
//
// A matrix in several parts (see the binding limit) is looked up in each; the sum of the results is whole.
// Dispatch: one invocation for 8 inputs, (ceil(inputs / 8 / 64), tokens, 1).
// Tolerance against the CPU twin: 1e-6 relative.

@group(0) @binding(0) var<storage, read_write> words: array<u32>;   // words [tiles, blocks, words, TILE]
@group(0) @binding(1) var<storage, read_write> tokens: array<i32>;  // tokens [tokens]
@group(0) @binding(2) var<storage, read_write> x: array<vec4<f32>>; // x [tokens, {{ inputs }}]

const INPUTS: u32 = {{ inputs }}u;
const OUTPUTS: u32 = {{ outputs }}u;
const FIRST: u32 = {{ first }}u;
{% include "common/blocks.wgsl" %}

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= INPUTS / 8u) {
        return;
    }
    let block = id.x / 4u;
    let w = id.x % 4u;
    let token = u32(tokens[id.y]) - FIRST;
    var quads = Quads(vec4<f32>(0.0), vec4<f32>(0.0));
    if (token < OUTPUTS) {
        let at = block_at(token / TILE, block) + token % TILE;
        quads = block_values(at, block_scale(at, block), w);
    }
    let row = id.y * (INPUTS / 4u) + block * 8u + w;
    x[row] = quads.low;
    x[row + 4u] = quads.high;
}
