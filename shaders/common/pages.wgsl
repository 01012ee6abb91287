// One layer's paged KV cache: cache [pages, 2, kv_heads, words of a head], K before V.
//
// A page holds PAGE tokens. K lies word by word with neighbouring tokens side by side, V token by token, so
// that attention reads both in order. A word holds a pair of neighbouring dims as two f16, or one as f32.

const PAGE: u32 = 64u;
const KV_HEADS: u32 = {{ kv_heads }}u;
const HEAD_DIM: u32 = {{ head_dim }}u;
{% if f16 %}
const WORDS: u32 = HEAD_DIM / 2u;
{% else %}
const WORDS: u32 = HEAD_DIM;
{% endif %}

// Where a head's keys (0) or values (1) begin in a page.
fn head_at(page: u32, values: u32, head: u32) -> u32 {
    return ((page * 2u + values) * KV_HEADS + head) * WORDS * PAGE;
}

// The keys' (or values') dims 2 * pair and 2 * pair + 1 of one token in a page.
fn key_pair(at: u32, pair: u32, token: u32) -> vec2<f32> {
{% if f16 %}
    return unpack2x16float(cache[at + pair * PAGE + token]);
{% else %}
    return bitcast<vec2<f32>>(vec2<u32>(
        cache[at + 2u * pair * PAGE + token],
        cache[at + (2u * pair + 1u) * PAGE + token],
    ));
{% endif %}
}

fn value_pair(at: u32, pair: u32, token: u32) -> vec2<f32> {
{% if f16 %}
    return unpack2x16float(cache[at + token * WORDS + pair]);
{% else %}
    return bitcast<vec2<f32>>(vec2<u32>(
        cache[at + token * WORDS + 2u * pair],
        cache[at + token * WORDS + 2u * pair + 1u],
    ));
{% endif %}
}
