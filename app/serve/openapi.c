/* SPDX-License-Identifier: Apache-2.0
 * /openapi.json: the paths from the rows of routes.c, the schemas from the rows here. */
#include "serve/server.h"

#include <string.h>

/* JSON with ' in place of ", @ in place of --max-client-batch-size, and % in place of the length of vectors.
 */
static const struct {
    const char *name, *schema;
} schemas[] = {
    {"Text", "{'type':'string','examples':['an utterly charming film']}"},
    {"Model", "{'type':['string','null'],'description':'name of a model; needed where several are served'}"},
    {"Truncate",
     "{'type':['boolean','null'],'description':'cut long texts; by default as --auto-truncate says'}"},
    {"Direction", "{'enum':['left','right','Left','Right',null]}"},
    {"Sequence",
     "{'oneOf':[{'$ref':'#/components/schemas/Text'},{'type':'array','minItems':1,'maxItems':2,'items':"
     "{'$ref':'#/components/schemas/Text'}}]}"},
    {"PredictRequest",
     "{'type':'object','required':['inputs'],'properties':{'inputs':{'oneOf':[{'$ref':'#/components/schemas/"
     "Sequence'},{'type':'array','minItems':1,'maxItems':@,'items':{'type':'array','minItems':1,'maxItems':2,"
     "'items':{'$ref':'#/components/schemas/Text'}}}],'description':'a text, a pair [a, b], or a list of "
     "[text] and "
     "[a, "
     "b]'},'truncate':{'$ref':'#/components/schemas/Truncate'},'truncation_direction':{'$ref':'#/components/"
     "schemas/Direction'},'raw_scores':{'type':['boolean','null']},'model':{'$ref':'#/components/schemas/"
     "Model'}}}"},
    {"Label", "{'type':'object','required':['score','label'],'properties':{'score':{'type':'number'},"
              "'label':{'type':'string'}}}"},
    {"Labels", "{'type':'array','items':{'$ref':'#/components/schemas/Label'}}"},
    {"PredictReply", "{'anyOf':[{'$ref':'#/components/schemas/Labels'},{'type':'array','items':{'$ref':"
                     "'#/components/schemas/Labels'}}]}"},
    {"Texts",
     "{'oneOf':[{'$ref':'#/components/schemas/Text'},{'type':'array','minItems':1,'maxItems':@,'items':"
     "{'$ref':'#/components/schemas/Text'}}]}"},
    {"EmbedRequest", "{'type':'object','required':['inputs'],'properties':{'inputs':{'$ref':'#/components/"
                     "schemas/Texts'},'truncate':"
                     "{'$ref':'#/components/schemas/Truncate'},'truncation_direction':{'$ref':'#/components/"
                     "schemas/Direction'},"
                     "'normalize':{'type':['boolean','null'],'default':true},'dimensions':{'type':['integer',"
                     "'null'],'minimum':1,"
                     "'maximum':%},'model':{'$ref':'#/components/schemas/Model'}}}"},
    {"Vector", "{'type':'array','items':{'type':'number'}}"},
    {"EmbedReply", "{'type':'array','items':{'$ref':'#/components/schemas/Vector'}}"},
    {"RerankRequest",
     "{'type':'object','required':['query','texts'],'properties':{'query':{'$ref':'#/components/schemas/"
     "Text'},"
     "'texts':{'type':'array','minItems':1,'maxItems':@,'items':{'$ref':'#/components/schemas/"
     "Text'}},'truncate':"
     "{'$ref':'#/components/schemas/Truncate'},'truncation_direction':{'$ref':'#/components/schemas/"
     "Direction'},"
     "'raw_scores':{'type':['boolean','null']},'return_text':{'type':['boolean','null']},'model':{'$ref':"
     "'#/components/schemas/Model'}}}"},
    {"RerankReply",
     "{'type':'array','items':{'type':'object','required':['index','score'],'properties':{'index':"
     "{'type':'integer'},'score':{'type':'number'},'text':{'type':'string'}}}}"},
    {"SimilarityRequest",
     "{'type':'object','required':['inputs'],'properties':{'inputs':{'type':'object','required':['source_"
     "sentence',"
     "'sentences'],'properties':{'source_sentence':{'$ref':'#/components/schemas/"
     "Text'},'sentences':{'type':'array',"
     "'minItems':1,'maxItems':#,'items':{'$ref':'#/components/schemas/"
     "Text'}}}},'parameters':{'type':'object',"
     "'properties':{'truncate':{'$ref':'#/components/schemas/Truncate'},'truncation_direction':{'$ref':"
     "'#/components/schemas/Direction'}}},'model':{'$ref':'#/components/schemas/Model'}}}"},
    {"SimilarityReply", "{'type':'array','items':{'type':'number'}}"},
    {"TokenizeRequest",
     "{'type':'object','required':['inputs'],'properties':{'inputs':{'$ref':'#/components/schemas/"
     "Texts'},'add_special_tokens':{'type':['boolean','null'],'default':true},'model':{'$ref':"
     "'#/components/schemas/Model'}}}"},
    {"TokenizeReply", "{'type':'array','items':{'type':'array','items':{'type':'object','required':['id','"
                      "text','special'],'properties':"
                      "{'id':{'type':'integer'},'text':{'type':'string'},'special':{'type':'boolean'},'start'"
                      ":{'type':['integer',"
                      "'null']},'stop':{'type':['integer','null']}}}}}"},
    {"Info",
     "{'type':'object','required':['model_id','model_type','max_input_length'],'properties':{'model_id':"
     "{'type':'string'},'max_input_length':{'type':'integer'}}}"},
    {"HuggingFaceRequest", "{'type':'object','required':['inputs'],'properties':{'inputs':{'oneOf':[{'$ref':'"
                           "#/components/schemas/Text'},"
                           "{'type':'array','minItems':1,'maxItems':1,'items':{'$ref':'#/components/schemas/"
                           "Text'}}],'description':'with "
                           "parameters also {text, text_pair}, and lists of both; without as in /predict or "
                           "/embed'},'parameters':{'type':"
                           "['object','null'],'properties':{'function_to_apply':{'enum':['softmax','sigmoid',"
                           "'none',null]},'top_k':{'type':"
                           "['integer','null'],'minimum':1,'maximum':2147483647},'truncate':{'$ref':'#/"
                           "components/schemas/Truncate'},"
                           "'truncation_direction':{'$ref':'#/components/schemas/"
                           "Direction'},'normalize':{'type':['boolean','null']}}},"
                           "'model':{'$ref':'#/components/schemas/Model'}}}"},
    {"HuggingFaceReply", "{'description':'labels, vectors, entities, an answer, or guesses for [MASK]'}"},
    {"EmbeddingsRequest",
     "{'type':'object','required':['input'],'properties':{'input':{'$ref':'#/components/schemas/"
     "Texts'},'model':{'$ref':"
     "'#/components/schemas/Model'},'encoding_format':{'enum':['float','base64',null]},'dimensions':{'type':["
     "'integer','null'],'minimum':1,'maximum':%},'user':{'type':'string'}}}"},
    {"EmbeddingsReply", "{'type':'object','required':['object','data','model','usage'],'properties':{'object'"
                        ":{'const':'list'},'data':"
                        "{'type':'array','items':{'type':'object','required':['object','index','embedding'],'"
                        "properties':{'object':"
                        "{'const':'embedding'},'index':{'type':'integer'},'embedding':{'oneOf':[{'$ref':'#/"
                        "components/schemas/Vector'},"
                        "{'type':'string'}]}}}},'model':{'type':'string'},'usage':{'type':'object','"
                        "properties':{'prompt_tokens':{'type':"
                        "'integer'},'total_tokens':{'type':'integer'}}}}}"},
    {"ModelList",
     "{'type':'object','required':['object','data'],'properties':{'object':{'const':'list'},'data':{'type':"
     "'array','items':{'type':'object','required':['id','object']}}}}"},
    {"V2Server",
     "{'type':'object','required':['name','version','extensions'],'properties':{'name':{'type':'string'},"
     "'version':{'type':'string'},'extensions':{'type':'array','items':{'type':'string'}}}}"},
    {"V2Live", "{'type':'object','required':['live'],'properties':{'live':{'type':'boolean'}}}"},
    {"V2Ready", "{'type':'object','required':['ready'],'properties':{'ready':{'type':'boolean'}}}"},
    {"V2ModelReady",
     "{'type':'object','required':['name','ready'],'properties':{'name':{'type':'string'},'ready':"
     "{'type':'boolean'}}}"},
    {"V2Tensor",
     "{'type':'object','required':['name','datatype','shape'],'properties':{'name':{'type':'string'},"
     "'datatype':{'type':'string'},'shape':{'type':'array','items':{'type':'integer'}}}}"},
    {"V2Model",
     "{'type':'object','required':['name','platform','inputs','outputs'],'properties':{'name':{'type':"
     "'string'},'platform':{'type':'string'},'inputs':{'type':'array','items':{'$ref':'#/components/schemas/"
     "V2Tensor'}},'outputs':{'type':'array','items':{'$ref':'#/components/schemas/V2Tensor'}}}}"},
    {"V2Request", "{'type':'object','required':['inputs'],'properties':{'id':{'type':'string'},'parameters':{"
                  "'type':'object'},"
                  "'inputs':{'type':'array','minItems':1,'maxItems':1,'items':{'type':'object','required':['"
                  "name','shape','datatype',"
                  "'data'],'properties':{'name':{'const':'text'},'shape':{'const':[1]},'datatype':{'const':'"
                  "BYTES'},'data':{'type':"
                  "'array','minItems':1,'maxItems':1,'items':{'$ref':'#/components/schemas/"
                  "Text'}}}},'description':'texts of the "
                  "shape [N] or [N, 1] as BYTES, or input_ids, attention_mask and token_type_ids of the "
                  "shape [N, tokens] as "
                  "INT64'}}}"},
    {"V2Reply", "{'type':'object','required':['model_name','outputs'],'properties':{'model_name':{'type':'"
                "string'},'id':{'type':"
                "'string'},'outputs':{'type':'array','items':{'allOf':[{'$ref':'#/components/schemas/"
                "V2Tensor'},{'type':'object',"
                "'required':['data'],'properties':{'data':{'type':'array'}}}]}}}}"},
    {"Health", "{'type':'object','required':['status'],'properties':{'status':{'type':'string'}}}"},
    {"OpenApi", "{'type':'object','required':['openapi','paths']}"},
    {"Error",
     "{'type':'object','required':['error'],'properties':{'error':{'type':'string'},'error_type':{'type':"
     "'string'}}}"},
    {"OpenAiError",
     "{'type':'object','required':['error'],'properties':{'error':{'type':'object','required':['message',"
     "'type','code'],'properties':{'message':{'type':'string'},'type':{'type':'string'},'code':{'type':"
     "'string'},'param':{'type':'null'}}}}}"},
};

/* Statuses that a route may answer with, besides 200. */
static const struct {
    const char *status, *text;
    bool body, key; /* of routes with a body only; with a key only */
} failures[] = {
    {"400", "malformed, or empty", true, false},
    {"401", "a key is needed", false, true},
    {"404", "no such model", false, false},
    {"413", "too large", true, false},
    {"422", "not what the schema says, or too long", true, false},
    {"424", "the model could not be run", true, false},
    {"429", "overloaded: see Retry-After", true, false},
    {"503", "not ready, or overloaded", false, false},
    {"504", "waited longer than its time limit", true, false},
};

/* The shortest vectors of the models that embed. */
static int64_t vector_length(srv_server *server) {
    int64_t length = INT32_MAX;
    pthread_mutex_lock(&server->lock);
    for (size_t i = 0; i < server->options->model_count; i++) {
        const retort_info *info = &server->slots[i].engine->info;
        if (info->task == RETORT_TASK_EMBED && info->labels < length) length = info->labels;
    }
    pthread_mutex_unlock(&server->lock);
    return length;
}

static void write_schema(srv_server *server, srv_out *out, const char *text) {
    const srv_options *options = server->options;
    for (; *text != '\0'; text++) {
        if (*text == '%') {
            srv_out_int(out, vector_length(server));
        } else if (*text == '@') {
            srv_out_int(out, options->items);
        } else if (*text == '#' && text[1] == ',') { /* one less: the source sentence */
            srv_out_int(out, options->items > 1 ? options->items - 1 : 1);
        } else {
            srv_out_bytes(out, *text == '\'' ? "\"" : text, 1);
        }
    }
}

static void write_parameters(srv_out *out, const char *path) {
    bool first = true;
    for (const char *at = path; (at = strchr(at, '{')) != NULL; at++) {
        srv_out_format(
            out, "%s{\"name\":\"%.*s\",\"in\":\"path\",\"required\":true,\"schema\":{\"type\":\"string\"}}",
            first ? ",\"parameters\":[" : ",", (int)strcspn(at + 1, "}"), at + 1);
        first = false;
    }
    if (!first) srv_out_text(out, "]");
}

static void write_reply(srv_out *out, const srv_route *route) {
    bool text = route->write == srv_write_metrics;
    srv_out_text(out, ",\"responses\":{\"200\":{\"description\":\"done\",\"content\":{");
    if (route->write == srv_write_page)
        srv_out_text(out, "\"text/html\":{\"schema\":{\"type\":\"string\"}},");
    if (text) {
        srv_out_text(out, "\"text/plain\":{\"schema\":{\"type\":\"string\"}}}}");
    } else {
        srv_out_format(out, "\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/%s\"}}}}",
                       route->write == srv_write_page ? "Health" : route->reply);
    }
    const char *error = route->wire == SRV_WIRE_OPENAI ? "OpenAiError" : "Error";
    if (route->wire == SRV_WIRE_V2 && route->read == NULL) error = NULL; /* 503 also has the reply's form */
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        if ((failures[i].body && route->read == NULL) || (failures[i].key && route->open)) continue;
        srv_out_format(out, ",\"%s\":{\"description\":\"%s\"", failures[i].status, failures[i].text);
        if (error != NULL)
            srv_out_format(
                out,
                ",\"content\":{\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/%s\"}}}",
                error);
        srv_out_text(out, "}");
    }
    srv_out_text(out, "}");
}

static void write_operation(srv_out *out, const srv_route *route, bool secured) {
    const char *method = strcmp(route->method, "POST") == 0 ? "post" : "get";
    srv_out_format(out, "\"%s\":{\"summary\":\"%s\"", method, route->summary);
    write_parameters(out, route->path);
    if (secured && route->open) srv_out_text(out, ",\"security\":[]");
    if (route->read != NULL)
        srv_out_format(
            out,
            ",\"requestBody\":{\"required\":true,\"content\":{\"application/json\":{\"schema\":{\"$ref\":"
            "\"#/components/schemas/%s\"}}}}",
            route->request);
    write_reply(out, route);
    srv_out_text(out, "}");
}

/* The methods of a path stand together, whatever the order of the rows. */
static void write_path(srv_out *out, size_t index, bool secured) {
    bool first = true;
    srv_out_format(out, "\"%s\":{", srv_routes[index].path);
    for (size_t i = index; i < srv_route_count; i++) {
        if (strcmp(srv_routes[i].path, srv_routes[index].path) != 0) continue;
        if (!first) srv_out_text(out, ",");
        first = false;
        write_operation(out, &srv_routes[i], secured);
    }
    srv_out_text(out, "}");
}

static bool is_first(size_t index) {
    for (size_t i = 0; i < index; i++) {
        if (strcmp(srv_routes[i].path, srv_routes[index].path) == 0) return false;
    }
    return true;
}

void srv_write_openapi(srv_call *call) {
    srv_out *out = &call->answer;
    bool secured = call->server->options->keys_path != NULL;
    srv_out_format(out,
                   "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"retort\",\"version\":\"%d.%d.%d\","
                   "\"license\":{\"name\":"
                   "\"Apache-2.0\"}}",
                   RETORT_VERSION_MAJOR, RETORT_VERSION_MINOR, RETORT_VERSION_PATCH);
    if (secured) srv_out_text(out, ",\"security\":[{\"key\":[]}]");
    srv_out_text(out, ",\"paths\":{");
    for (size_t i = 0; i < srv_route_count; i++) {
        if (!is_first(i)) continue;
        if (i > 0) srv_out_text(out, ",");
        write_path(out, i, secured);
    }
    srv_out_text(out, "},\"components\":{");
    if (secured)
        srv_out_text(out, "\"securitySchemes\":{\"key\":{\"type\":\"http\",\"scheme\":\"bearer\"}},");
    srv_out_text(out, "\"schemas\":{");
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++) {
        srv_out_format(out, "%s\"%s\":", i > 0 ? "," : "", schemas[i].name);
        write_schema(call->server, out, schemas[i].schema);
    }
    srv_out_text(out, "}}}");
}
