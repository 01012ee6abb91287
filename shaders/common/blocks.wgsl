// A quantized matrix as the engine packs it (core, kernels/pack.rs), read in quads; `layout` is of src/blocks.rs.
//
// Outputs are grouped in tiles of TILE. Within a tile lie the row's blocks of 32 inputs one after the other,
// and within a block word `w` of all TILE outputs, so that neighbouring invocations read neighbouring words.
// GROUP blocks share their words of scales, which lie after their quants: two or four scales in a word, or
// for the K types two bytes for each of eight blocks, and then d and dmin.
// A value is scale * quant + offset, and the K types of 2, 3 and 6 bits have one scale for each half of a block.
// Source of the block formats: ggml's quantization types.

const TILE: u32 = {{ tile }}u;
const BLOCKS: u32 = INPUTS / 32u;
{% set bits = layout.bits %}
{% set group = layout.group %}
{% set group_words = layout.group_words %}
{% set plain = layout.scale_words == 0 %}
const TILE_WORDS: u32 = {{ group_words }}u * TILE{% if group > 1 %} * ((BLOCKS + {{ group - 1 }}u) / {{ group }}u){% else %} * BLOCKS{% endif %};

// Where word 0 of a block of a tile's first output lies.
fn block_at(tile: u32, block: u32) -> u32 {
{% if group > 1 %}
    return tile * TILE_WORDS
        + ((block / {{ group }}u) * {{ group_words }}u + (block % {{ group }}u) * {{ bits }}u) * TILE;
{% else %}
    return tile * TILE_WORDS + block * {{ group_words }}u * TILE;
{% endif %}
}
{% if not plain %}

// Where the scales of the group of the block that `block_at` gave `at` for lie.
fn scale_at(at: u32, block: u32) -> u32 {
    return at + {% if group > 1 %}({{ group }}u - block % {{ group }}u) * {% endif %}{{ bits }}u * TILE;
}
{% endif %}
{% if group == 8 %}

// Two binary16. unpack2x16float may take a subnormal for 0, and the K types' d is often one.
fn halves(word: u32) -> vec2<f32> {
    let bits = vec2<u32>(word, word >> 16u);
    let low = vec2<f32>(bits & vec2<u32>(0x3ffu)) * 5.9604645e-8;
    let normal = bitcast<vec2<f32>>(((bits & vec2<u32>(0x7fffu)) << vec2<u32>(13u)) + vec2<u32>(0x38000000u));
    let size = select(normal, low, (bits & vec2<u32>(0x7c00u)) == vec2<u32>(0u));
    return select(size, -size, (bits & vec2<u32>(0x8000u)) != vec2<u32>(0u));
}
{% endif %}

// Scale and offset of inputs 0 to 15 (x, y) and of inputs 16 to 31 (z, w) of that block.
fn block_scale(at: u32, block: u32) -> vec4<f32> {
{% if group == 2 %}
    let d = unpack2x16float(words[scale_at(at, block)]);
    let scale = select(d.x, d.y, block % 2u == 1u);
    return vec2<f32>(scale, {{ layout.offset }}.0 * scale).xyxy;
{% elif group == 4 %}
    // Half of the power of two with that exponent; the two least are subnormal.
    let exponent = (words[scale_at(at, block)] >> (block % 4u * 8u)) & 255u;
    let bits = select((exponent - 1u) << 23u, 0x200000u << exponent, exponent < 2u);
    return vec2<f32>(bitcast<f32>(bits), 0.0).xyxy;
{% elif group == 8 %}
    let first = scale_at(at, block);
    let d = halves(words[first + 4u * TILE]);
    let scales = words[first + block % 8u / 2u * TILE] >> (block % 2u * 16u);
{% if layout.halves and layout.minima %}
    return vec4<f32>((vec4<u32>(scales) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u)) * vec2<f32>(d.x, -d.y).xyxy;
{% elif layout.minima %}
    return (vec2<f32>((vec2<u32>(scales) >> vec2<u32>(0u, 8u)) & vec2<u32>(255u)) * vec2<f32>(d.x, -d.y)).xyxy;
{% else %}
    let scale = d.x * vec2<f32>(bitcast<vec2<i32>>(vec2<u32>(scales) << vec2<u32>(24u, 16u)) >> vec2<u32>(24u));
    return vec4<f32>(scale, scale * {{ layout.offset }}.0).xzyw;
{% endif %}
{% elif plain %}
    return vec4<f32>(1.0, 0.0, 1.0, 0.0);
{% else %}
    return unpack2x16float(words[scale_at(at, block)]).xyxy;
{% endif %}
}

// The quants of inputs 4w to 4w + 3 and of inputs 4w + 16 to 4w + 19 of a block, w in 0..4.
struct Quads {
    low: vec4<f32>,
    high: vec4<f32>,
}

// As `block_quads`, scaled.
fn block_values(at: u32, scale: vec4<f32>, w: u32) -> Quads {
    let quads = block_quads(at, w);
    return Quads(quads.low * scale.x + scale.y, quads.high * scale.z + scale.w);
}

fn block_quads(at: u32, w: u32) -> Quads {
{% if bits < 4 %}
    var low = two_bits(words[at], w);
    var high = two_bits(words[at + TILE], w);
{% elif bits >= 8 %}
    return Quads(block_quad(at, w), block_quad(at, w + 4u));
{% else %}
    let word = vec4<u32>(words[at + w * TILE]);
    var low = (word >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(15u);
    var high = (word >> vec4<u32>(4u, 12u, 20u, 28u)) & vec4<u32>(15u);
{% endif %}
{% if bits in [3, 5] %}
    // Bit i is the highest bit of input i.
    let bits = vec4<u32>(words[at + {{ bits - 1 }}u * TILE] >> (4u * w));
    low |= ((bits >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)) << vec4<u32>({{ bits - 1 }}u);
    high |= ((bits >> vec4<u32>(16u, 17u, 18u, 19u)) & vec4<u32>(1u)) << vec4<u32>({{ bits - 1 }}u);
{% elif bits == 6 %}
    low |= two_bits(words[at + 4u * TILE], w) << vec4<u32>(4u);
    high |= two_bits(words[at + 5u * TILE], w) << vec4<u32>(4u);
{% endif %}
{% if dtype in ["iq4_nl", "mxfp4"] %}
    return Quads(meaning(low), meaning(high));
{% elif bits < 8 %}
    return Quads(vec4<f32>(low), vec4<f32>(high));
{% endif %}
}
{% if bits in [2, 3, 6] %}

// Bits 2w and 2w + 1 of each byte.
fn two_bits(word: u32, w: u32) -> vec4<u32> {
    return (vec4<u32>(word >> (2u * w)) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(3u);
}
{% elif dtype == "iq4_nl" %}

// The quant's entry in a table of signed bytes: -127, -104, -83, -65; -49, -35, -22, -10; 1, 13, 25, 38; 53, 69, 89, 113.
fn meaning(q: vec4<u32>) -> vec4<f32> {
    let odd = (q & vec4<u32>(4u)) != vec4<u32>(0u);
    let negative = select(vec4<u32>(0xbfad9881u), vec4<u32>(0xf6eaddcfu), odd);
    let positive = select(vec4<u32>(0x26190d01u), vec4<u32>(0x71594535u), odd);
    let bytes = select(negative, positive, q >= vec4<u32>(8u));
    let shift = vec4<u32>(24u) - (q & vec4<u32>(3u)) * vec4<u32>(8u);
    return vec4<f32>(bitcast<vec4<i32>>(bytes << shift) >> vec4<u32>(24u));
}
{% elif dtype == "mxfp4" %}

// Twice a float of a sign, two bits of exponent and one of mantissa: 0, 1, 2, 3, 4, 6, 8, 12 and their negatives.
fn meaning(q: vec4<u32>) -> vec4<f32> {
    let v = q & vec4<u32>(7u);
    let size = vec4<f32>(v + max(v, vec4<u32>(4u)) + vec4<u32>(2u) * max(v, vec4<u32>(6u)) - vec4<u32>(16u));
    return select(size, -size, q >= vec4<u32>(8u));
}
{% elif bits == 8 %}

fn block_quad(at: u32, q: u32) -> vec4<f32> {
    let word = vec4<u32>(words[at + q * TILE]);
    return vec4<f32>(bitcast<vec4<i32>>(word << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
}
{% elif bits == 16 %}

fn block_quad(at: u32, q: u32) -> vec4<f32> {
    let a = words[at + 2u * q * TILE];
    let b = words[at + (2u * q + 1u) * TILE];
{% if dtype == "f16" %}
    return vec4<f32>(unpack2x16float(a), unpack2x16float(b));
{% else %}
    return bitcast<vec4<f32>>(vec4<u32>(a << 16u, a & 0xffff0000u, b << 16u, b & 0xffff0000u));
{% endif %}
}
{% elif bits == 32 %}

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
