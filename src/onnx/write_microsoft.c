/* SPDX-License-Identifier: Apache-2.0
 * ONNX Runtime's fused operators. Some span two nodes of ours: Attention has the product for q, k and v in
 * it, SkipLayerNormalization the bias and the residual of the Linear before it. */
#include "onnx/writer.h"

/* The one node that reads a value; NULL when there is another one, or the output is it. */
static const rt_node *only_reader(const rt_graph *graph, int value) {
    const rt_node *reader = NULL;
    if (graph->output == value || rt_value_uses(graph, value) != 1) return NULL;
    for (size_t i = 0; i < graph->node_count && reader == NULL; i++) {
        for (int k = 0; k < graph->nodes[i].input_count; k++) {
            if (graph->nodes[i].inputs[k] == value) reader = &graph->nodes[i];
        }
    }
    return reader;
}

/* A product of floats with one reader, which is returned. */
static const rt_node *reader_of_product(const rt_graph *graph, const rt_node *node) {
    bool plain = node->op == RT_OP_LINEAR && node->attrs.heads == 0 && !node->attrs.gate &&
                 node->attrs.rotate == 0 && rt_operand(node, LINEAR_SCALE) < 0;
    return plain ? only_reader(graph, node->outputs[0]) : NULL;
}

static bool is_in_attention(const rt_graph *graph, const rt_node *node) {
    const rt_node *reader = reader_of_product(graph, node);
    return reader != NULL && reader->op == RT_OP_ATTENTION && reader->attrs.parts == 1 &&
           reader->attrs.select == RT_SELECT_ALL && reader->input_count <= ATTENTION_CONSTANTS &&
           reader->attrs.window == 0 && reader->attrs.key_heads == 0 && node->attrs.act == RT_FN_NONE &&
           rt_operand(node, LINEAR_RESIDUAL) < 0;
}

static bool is_in_norm(const rt_graph *graph, const rt_node *node) {
    const rt_node *reader = reader_of_product(graph, node);
    return reader != NULL && reader->op == RT_OP_LAYER_NORM && !reader->attrs.rms &&
           node->attrs.act == RT_FN_NONE && rt_operand(node, LINEAR_RESIDUAL) >= 0;
}

/* The Linear that makes the node's first input. */
static const rt_node *linear_before(const rt_graph *graph, const rt_node *node) {
    int producer = graph->values[node->inputs[LAYER_NORM_X]].producer;
    return producer >= 0 && graph->nodes[producer].op == RT_OP_LINEAR ? &graph->nodes[producer] : NULL;
}

static const char *matmul(rt_onnx_writer *w, const rt_node *node) {
    return rt_put2(w, "MatMul", "matmul", rt_put_value(w, node->inputs[LINEAR_X]),
                   rt_put_value(w, node->inputs[LINEAR_WEIGHT]));
}

bool rt_put_fused_linear(rt_onnx_writer *w, const rt_node *node) {
    if (is_in_attention(w->graph, node)) return true; /* written with it */
    if (is_in_norm(w->graph, node)) {
        rt_put_output(w, node, matmul(w, node));
        return true;
    }
    bool erf = node->attrs.act == RT_FN_GELU, cubic = node->attrs.act == RT_FN_GELU_TANH;
    int bias = rt_operand(node, LINEAR_BIAS);
    if ((!erf && !cubic) || node->attrs.heads > 0 || node->attrs.gate ||
        rt_operand(node, LINEAR_SCALE) >= 0 || rt_operand(node, LINEAR_RESIDUAL) >= 0)
        return false;
    const char *inputs[] = {matmul(w, node), rt_put_value(w, bias)};
    rt_put_output(w, node,
                  rt_put_microsoft(w,
                                   cubic       ? "FastGelu"
                                   : bias >= 0 ? "BiasGelu"
                                               : "Gelu",
                                   "gelu", 2, inputs, 0, NULL));
    return true;
}

bool rt_put_fused_norm(rt_onnx_writer *w, const rt_node *node) {
    const rt_node *linear = linear_before(w->graph, node);
    if (linear == NULL || !is_in_norm(w->graph, linear)) return false;
    const char *inputs[] = {
        rt_put_value(w, node->inputs[LAYER_NORM_X]), rt_put_value(w, linear->inputs[LINEAR_RESIDUAL]),
        rt_put_value(w, node->inputs[LAYER_NORM_GAMMA]), rt_put_value(w, node->inputs[LAYER_NORM_BETA]),
        rt_put_value(w, rt_operand(linear, LINEAR_BIAS))};
    rt_onnx_attr epsilon = RT_ONNX_REAL("epsilon", node->attrs.epsilon);
    rt_put_output(w, node, rt_put_microsoft(w, "SkipLayerNormalization", "norm", 5, inputs, 1, &epsilon));
    return true;
}

/* An input of the graph as int32, which these operators read. */
static const char *int32_input(rt_onnx_writer *w, const char **kept, const char *input, const char *leaf) {
    const char *scope = w->scope;
    if (*kept != NULL) return *kept;
    w->scope = "inputs";
    *kept = rt_put(w, "Cast", leaf, 1, &input, 1, &RT_ONNX_INT("to", RT_ONNX_INT32));
    w->scope = scope;
    return *kept;
}

bool rt_put_fused_attention(rt_onnx_writer *w, const rt_node *node) {
    const rt_node *linear = linear_before(w->graph, node);
    if (linear == NULL || !is_in_attention(w->graph, linear)) return false;
    const rt_value *weight = &w->graph->values[linear->inputs[LINEAR_WEIGHT]];
    int bias = rt_operand(linear, LINEAR_BIAS);
    size_t n = (size_t)weight->dims[1];
    const char *zeros = bias >= 0 ? rt_put_value(w, bias)
                                  : rt_put_tensor(w, "bias", RT_ONNX_FLOAT, 1, &weight->dims[1],
                                                  rt_put_alloc(w, n, sizeof(float)), n * sizeof(float));
    const char *inputs[] = {rt_put_value(w, linear->inputs[LINEAR_X]),
                            rt_put_value(w, linear->inputs[LINEAR_WEIGHT]), zeros,
                            int32_input(w, &w->int_mask, "attention_mask", "mask")};
    rt_onnx_attr attrs[] = {RT_ONNX_INT("num_heads", node->attrs.heads),
                            RT_ONNX_REAL("scale", node->attrs.scale)};
    rt_put_output(w, node, rt_put_microsoft(w, "Attention", "attention", 4, inputs, 2, attrs));
    return true;
}

bool rt_put_fused_embed(rt_onnx_writer *w, const rt_node *node) {
    if (rt_operand(node, EMBED_WORD_SCALE) >= 0 || rt_operand(node, EMBED_POSITION_SCALE) >= 0 ||
        rt_operand(node, EMBED_CHANNEL_SCALE) >= 0 || rt_operand(node, EMBED_POSITION) < 0 ||
        node->attrs.after_pad != 0)
        return false;
    const char *ids = NULL, *types = NULL;
    bool typed = rt_operand(node, EMBED_TYPE) >= 0;
    const char *inputs[] = {int32_input(w, &ids, "input_ids", "ids"),
                            typed ? int32_input(w, &types, "token_type_ids", "types") : "",
                            rt_put_value(w, node->inputs[EMBED_WORD]),
                            rt_put_value(w, node->inputs[EMBED_POSITION]),
                            rt_put_value(w, rt_operand(node, EMBED_TYPE)),
                            rt_put_value(w, node->inputs[EMBED_GAMMA]),
                            rt_put_value(w, node->inputs[EMBED_BETA])};
    rt_onnx_attr epsilon = RT_ONNX_REAL("epsilon", node->attrs.epsilon);
    rt_onnx_node *made = rt_put_node(w, "EmbedLayerNormalization", "embed", 7, inputs, 1, &epsilon);
    const char **outputs = rt_put_alloc(w, 2, sizeof *outputs);
    if (outputs == NULL) return true;
    outputs[0] = made->name;
    outputs[1] = rt_put_name(w, "lengths"); /* it has to be there */
    made->domain = RT_ONNX_MICROSOFT;
    made->outputs = outputs;
    made->output_count = 2;
    w->microsoft = true;
    rt_put_output(w, node, outputs[0]);
    return true;
}
