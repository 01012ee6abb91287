// One page of the cache copied to another: a row that shares a half-full page gets its own to write on.
//
// Dispatch: (ceil(words of a page / 64), 1, 1). Tolerance: none.

@group(0) @binding(0) var<storage, read_write> pages: array<i32>; // pages [2]: from, to
@group(0) @binding(1) var<storage, read_write> cache: array<u32>; // cache [pages, {{ words }}]

const WORDS: u32 = {{ words }}u;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < WORDS) {
        cache[u32(pages[1]) * WORDS + id.x] = cache[u32(pages[0]) * WORDS + id.x];
    }
}
