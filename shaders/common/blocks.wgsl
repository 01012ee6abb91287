// A quantized matrix as the engine packs it (core, kernels/pack.rs), read in quads.
//
// Outputs are grouped in tiles of TILE. Within a tile lie the row's blocks of 32 inputs one after the other,
// and within a block word `w` of all TILE outputs, so that neighbouring invocations read neighbouring words.
// Types with one scale a block keep the scales of two blocks (a pair) in one word after both.
// A value is scale.x * quant + scale.y. Source of the block formats: ggml's quantization types.

const TILE: u32 = 64u;
const BLOCKS: u32 = INPUTS / 32u;
{% set quant_words = {"q4_0": 4, "q4_1": 4, "q5_0": 5, "q5_1": 5, "q8_0": 8, "f16": 16, "bf16": 16, "f32": 32}[dtype] %}
{% set pair = dtype in ["q4_0", "q5_0", "q8_0"] %}
{% set scaled = pair or dtype in ["q4_1", "q5_1"] %}
{% set group_words = quant_words * (2 if pair else 1) + (1 if scaled else 0) %}
const TILE_WORDS: u32 = {% if pair %}((BLOCKS + 1u) / 2u){% else %}BLOCKS{% endif %} * {{ group_words }}u * TILE;

// Where word 0 of a block of a tile's first output lies.
fn block_at(tile: u32, block: u32) -> u32 {
{% if pair %}
    return tile * TILE_WORDS + ((block / 2u) * {{ group_words }}u + (block % 2u) * {{ quant_words }}u) * TILE;
{% else %}
    return tile * TILE_WORDS + block * {{ group_words }}u * TILE;
{% endif %}
}

// Scale and offset of the block that `block_at` gave `at` for.
fn block_scale(at: u32, block: u32) -> vec2<f32> {
{% if pair %}
    let d = unpack2x16float(words[at + (2u - block % 2u) * {{ quant_words }}u * TILE]);
    let scale = select(d.x, d.y, block % 2u == 1u);
    return vec2<f32>(scale, {{ {"q4_0": "-8.0", "q5_0": "-16.0", "q8_0": "0.0"}[dtype] }} * scale);
{% elif scaled %}
    return unpack2x16float(words[at + {{ quant_words }}u * TILE]);
{% else %}
    return vec2<f32>(1.0, 0.0);
{% endif %}
}

// The quants of inputs 4w to 4w + 3 and of inputs 4w + 16 to 4w + 19 of a block, w in 0..4.
struct Quads {
    low: vec4<f32>,
    high: vec4<f32>,
}

fn block_quads(at: u32, w: u32) -> Quads {
{% if dtype in ["q4_0", "q4_1", "q5_0", "q5_1"] %}
    let word = vec4<u32>(words[at + w * TILE]);
    var low = (word >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(15u);
    var high = (word >> vec4<u32>(4u, 12u, 20u, 28u)) & vec4<u32>(15u);
{% if quant_words == 5 %}
    // Bit i is the fifth bit of input i.
    let bits = vec4<u32>(words[at + 4u * TILE] >> (4u * w));
    low |= ((bits >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)) << vec4<u32>(4u);
    high |= ((bits >> vec4<u32>(16u, 17u, 18u, 19u)) & vec4<u32>(1u)) << vec4<u32>(4u);
{% endif %}
    return Quads(vec4<f32>(low), vec4<f32>(high));
{% else %}
    return Quads(block_quad(at, w), block_quad(at, w + 4u));
{% endif %}
}
{% if dtype == "q8_0" %}

fn block_quad(at: u32, q: u32) -> vec4<f32> {
    let word = vec4<u32>(words[at + q * TILE]);
    return vec4<f32>(bitcast<vec4<i32>>(word << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
}
{% elif dtype in ["f16", "bf16"] %}

fn block_quad(at: u32, q: u32) -> vec4<f32> {
    let a = words[at + 2u * q * TILE];
    let b = words[at + (2u * q + 1u) * TILE];
{% if dtype == "f16" %}
    return vec4<f32>(unpack2x16float(a), unpack2x16float(b));
{% else %}
    return bitcast<vec4<f32>>(vec4<u32>(a << 16u, a & 0xffff0000u, b << 16u, b & 0xffff0000u));
{% endif %}
}
{% elif dtype == "f32" %}

fn block_quad(at: u32, q: u32) -> vec4<f32> {
    let first = at + 4u * q * TILE;
    return bitcast<vec4<f32>>(vec4<u32>(
        words[first],
        words[first + TILE],
        words[first + 2u * TILE],
        words[first + 3u * TILE],
    ));
}
{% endif %}
