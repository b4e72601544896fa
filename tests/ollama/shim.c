/* A stand-in for libggml-sycl.so, for machines without an Intel GPU.
 *
 * The Ollama server in the package bigdl-core-cpp is linked against a SYCL backend and calls a fused attention that only
 * that backend can run. Here the backend counts no devices, and the fused call becomes ggml's portable attention node.
 * The library must be preloaded: the server finds the fused call in libggml-base.so first otherwise. */

typedef struct ggml_context ggml_context;
typedef struct { int type; } ggml_tensor; /* only the first member is looked at */

enum { HALF_PRECISION = 1 }; /* GGML_TYPE_F16 */

extern ggml_tensor *ggml_cast(ggml_context *, ggml_tensor *, int type);
extern ggml_tensor *ggml_flash_attn_ext(ggml_context *, ggml_tensor *query, ggml_tensor *key, ggml_tensor *value,
                                        ggml_tensor *mask, float scale, float max_bias, float logit_softcap);

int ggml_backend_sycl_get_device_count(void) {
    return 0;
}

void *ggml_backend_sycl_init(int device) {
    return (void)device, (void *)0;
}

void *ggml_backend_sycl_buffer_type(int device) {
    return (void)device, (void *)0;
}

ggml_tensor *ggml_bigdl_fp16_sdp(ggml_context *graph, ggml_tensor *query, ggml_tensor *key, ggml_tensor *value,
                                 ggml_tensor *mask, int unused_count, float scale, _Bool unused_flag) {
    (void)unused_count;
    (void)unused_flag;
    /* The portable node takes its mask in 16 bits alone. */
    if (mask && mask->type != HALF_PRECISION) {
        mask = ggml_cast(graph, mask, HALF_PRECISION);
    }
    return ggml_flash_attn_ext(graph, query, key, value, mask, scale, 0.0f, 0.0f);
}
