/* SPDX-License-Identifier: Apache-2.0
 * /openapi.json: paths from the rows of routes.c, schemas from the forms and the rows here. */
#include "serve/wire/openapi.h"
#include "retort.h"
#include "serve/base/options.h"
#include "serve/base/out.h"
#include "serve/queue/service.h"
#include "serve/wire/field.h"
#include "serve/wire/forms.h"
#include "serve/wire/route.h"

#include <pthread.h>
#include <string.h>

/* JSON with ' for ", @ for --max-client-batch-size, and % for the length of vectors. */
static const struct {
    const char *name, *schema;
} schemas[] = {
    {"Text", "{'type':'string','examples':['an utterly charming film']}"},
    {"Model", "{'type':['string','null'],'description':'name of a model; needed where several are served'}"},
    {"Truncate", "{'type':['boolean','null'],'description':'truncate long texts; default: --auto-truncate'}"},
    {"Direction", "{'enum':['left','right','Left','Right',null]}"},
    {"Sequence",
     "{'oneOf':[{'$ref':'#/components/schemas/Text'},{'type':'array','minItems':1,'maxItems':2,'items':"
     "{'$ref':'#/components/schemas/Text'}}]}"},
    {"PredictInputs",
     "{'oneOf':[{'$ref':'#/components/schemas/Sequence'},{'type':'array','minItems':1,'maxItems':@,'items':"
     "{'type':'array','minItems':1,'maxItems':2,'items':{'$ref':'#/components/schemas/Text'}}}],"
     "'description':'a text, a pair [a, b], or a list of [text] and [a, b]'}"},
    {"Dimensions", "{'type':['integer','null'],'minimum':1,'maximum':%}"},
    {"TextList", "{'type':'array','minItems':1,'maxItems':@,'items':{'$ref':'#/components/schemas/Text'}}"},
    {"Documents",
     "{'type':'array','minItems':1,'maxItems':@,'items':{'oneOf':[{'$ref':'#/components/schemas/Text'},"
     "{'$ref':'#/components/schemas/Document'}]}}"},
    {"Sentences", "{'type':'array','minItems':1,'maxItems':#,'items':{'$ref':'#/components/schemas/Text'}}"},
    {"HuggingFaceInputs",
     "{'oneOf':[{'$ref':'#/components/schemas/Text'},{'type':'array','minItems':1,'maxItems':1,'items':"
     "{'$ref':'#/components/schemas/Text'}},{'$ref':'#/components/schemas/Question'},"
     "{'$ref':'#/components/schemas/SimilarityInputs'},"
     "{'$ref':'#/components/schemas/Pair'}],'description':'a question with its context for a model that "
     "answers; with parameters also {text, text_pair}, and lists; without, as in /predict or /embed'}"},
    {"HuggingFaceParameters",
     "{'anyOf':[{'$ref':'#/components/schemas/ClassifyParameters'},{'$ref':'#/components/schemas/"
     "ZeroShotParameters'},{'$ref':'#/components/schemas/"
     "TagParameters'},{'$ref':'#/components/schemas/AnswerParameters'},{'$ref':'#/components/schemas/"
     "FillParameters'},{'$ref':'#/components/schemas/EmbedParameters'},{'type':'null'}],'description':"
     "'the parameters of the task of the model'}"},
    {"V2Inputs", "{'type':'array','minItems':1,'maxItems':1,'items':{'$ref':'#/components/schemas/V2Input'},"
                 "'description':'texts of the shape [N] or [N, 1] as BYTES, or input_ids, attention_mask and "
                 "token_type_ids of the shape [N, tokens] as INT64'}"},
    {"V2Outputs",
     "{'type':'array','items':{'$ref':'#/components/schemas/V2Output'},'description':'the requested "
     "outputs; default: all'}"},
    {"Label", "{'type':'object','required':['score','label'],'properties':{'score':{'type':'number'},"
              "'label':{'type':'string'}}}"},
    {"Labels", "{'type':'array','items':{'$ref':'#/components/schemas/Label'}}"},
    {"PredictReply", "{'anyOf':[{'$ref':'#/components/schemas/Labels'},{'type':'array','items':{'$ref':"
                     "'#/components/schemas/Labels'}}]}"},
    {"Texts",
     "{'oneOf':[{'$ref':'#/components/schemas/Text'},{'type':'array','minItems':1,'maxItems':@,'items':"
     "{'$ref':'#/components/schemas/Text'}}]}"},
    {"Vector", "{'type':'array','items':{'type':'number'}}"},
    {"EmbedAllReply",
     "{'type':'array','items':{'type':'array','items':{'$ref':'#/components/schemas/Vector'}}}"},
    {"EmbedSparseReply",
     "{'type':'array','items':{'type':'array','items':{'type':'object','required':['index','value'],"
     "'properties':{'index':{'type':'integer'},'value':{'type':'number'}}}}}"},
    {"EmbedReply", "{'type':'array','items':{'$ref':'#/components/schemas/Vector'}}"},
    {"RerankReply",
     "{'type':'array','items':{'type':'object','required':['index','score'],'properties':{'index':"
     "{'type':'integer'},'score':{'type':'number'},'text':{'type':'string'}}}}"},
    {"RankReply",
     "{'type':'object','required':['results'],'properties':{'id':{'type':'string'},'model':{'type':'string'},"
     "'results':{'type':'array','items':{'type':'object','required':['index','relevance_score'],'properties':"
     "{'index':{'type':'integer'},'relevance_score':{'type':'number'},'document':{'$ref':'#/components/"
     "schemas/Document'}}}},'usage':{'$ref':'#/components/schemas/Usage'}}}"},
    {"Usage",
     "{'type':'object','required':['prompt_tokens','total_tokens'],'properties':{'prompt_tokens':{'type':"
     "'integer'},'total_tokens':{'type':'integer'},'truncated':{'type':'integer','minimum':1,'description':"
     "'number of truncated texts, if any'}}}"},
    {"SimilarityReply", "{'type':'array','items':{'type':'number'}}"},
    {"TokenizeReply", "{'type':'array','items':{'type':'array','items':{'type':'object','required':['id','"
                      "text','special'],'properties':"
                      "{'id':{'type':'integer'},'text':{'type':'string'},'special':{'type':'boolean'},'start'"
                      ":{'type':['integer',"
                      "'null']},'stop':{'type':['integer','null']}}}}}"},
    {"TokenIds",
     "{'oneOf':[{'type':'array','minItems':1,'items':{'type':'integer','minimum':0,'maximum':99}},"
     "{'type':'array','minItems':1,'maxItems':@,'items':{'type':'array','items':{'type':'integer','minimum':"
     "0,"
     "'maximum':99}}}],'description':'ids of the vocabulary, or lists of them'}"},
    {"DecodeReply", "{'type':'array','items':{'type':'string'}}"},
    {"Info",
     "{'type':'object','required':['model_id','model_dtype','recipe','model_type','max_input_length'],'"
     "properties':{'model_id':"
     "{'type':'string'},'model_dtype':{'enum':['float32','bfloat16','int8','int4','int3','int2'],'"
     "description':"
     "'of most weights of the matrices'},'recipe':{'type':'string','description':'how the weights were "
     "made'},"
     "'max_input_length':{'type':'integer'},'mask_token':{'type':'string','description':'of fill models'}}}"},
    {"HuggingFaceReply", "{'description':'labels, vectors, entities, an answer, or guesses for masks'}"},
    {"EmbeddingsReply",
     "{'type':'object','required':['object','data','model','usage'],'properties':{'object'"
     ":{'const':'list'},'data':"
     "{'type':'array','items':{'type':'object','required':['object','index','embedding'],'"
     "properties':{'object':"
     "{'const':'embedding'},'index':{'type':'integer'},'embedding':{'oneOf':[{'$ref':'#/"
     "components/schemas/Vector'},"
     "{'type':'string'}]}}}},'model':{'type':'string'},'usage':{'$ref':'#/components/schemas/Usage'}}}"},
    {"ModelList",
     "{'type':'object','required':['object','data'],'properties':{'object':{'const':'list'},'data':{'type':"
     "'array','items':{'$ref':'#/components/schemas/Model'}}}}"},
    {"Model",
     "{'type':'object','required':['id','object','created','owned_by'],'properties':{'id':{'type':'string'},"
     "'object':{'const':'model'},'created':{'type':'integer'},'owned_by':{'type':'string'}}}"},
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
    {"TritonConfig",
     "{'type':'object','required':['name','max_batch_size','input','output'],'properties':{'name':{'type':"
     "'string'},'max_batch_size':{'type':'integer'},'input':{'type':'array','items':{'type':'object'}},"
     "'output':{'type':'array','items':{'type':'object'}}}}"},
    {"TritonIndex",
     "{'type':'array','items':{'type':'object','required':['name','version','state'],'properties':{'name':"
     "{'type':'string'},'version':{'type':'string'},'state':{'type':'string'},'reason':{'type':'string'}}}}"},
    {"TritonStatistics",
     "{'type':'object','required':['model_stats'],'properties':{'model_stats':{'type':'array','items':"
     "{'type':'object','required':['name','version','inference_count','execution_count','inference_stats'],"
     "'properties':{'name':{'type':'string'},'version':{'type':'string'},'last_inference':{'type':'integer'},"
     "'inference_count':{'type':'integer'},'execution_count':{'type':'integer'},'inference_stats':{'type':"
     "'object'},'batch_stats':{'type':'array'}}}}}}"},
    {"V2Reply", "{'type':'object','required':['model_name','outputs'],'properties':{'model_name':{'type':'"
                "string'},'id':{'type':"
                "'string'},'parameters':{'type':'object','properties':{'truncated':{'type':'integer','"
                "minimum':1}}},'outputs':{'type':'array','items':{'allOf':[{'$ref':'#/components/schemas/"
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
    bool body, key; /* only for routes with a body; only with a key */
} failures[] = {
    {"400", "malformed, or empty", false, false},
    {"401", "an API key is required", false, true},
    {"404", "no such model", false, false},
    {"413", "too large", true, false},
    {"415", "compressed: see Accept-Encoding", true, false},
    {"422", "does not match the schema, or is too long", true, false},
    {"424", "the model could not be run, or its answer is not finite", true, false},
    {"429", "overloaded: see Retry-After", true, false},
    {"500", "out of memory", false, false},
    {"501", "a transfer coding other than chunked", true, false},
    {"503", "not ready, or overloaded", false, false},
    {"504", "waited longer than its time limit", true, false},
};

/* The length of the shortest vectors of all models that embed. */
static int64_t vector_length(srv_service *service) {
    int64_t length = INT32_MAX;
    pthread_mutex_lock(&service->lock);
    for (size_t i = 0; i < service->options->model_count; i++) {
        const retort_info *info = &service->slots[i].engine->info;
        if (info->task == RETORT_TASK_EMBED && info->labels < length) length = info->labels;
    }
    pthread_mutex_unlock(&service->lock);
    return length;
}

static void write_schema(srv_service *service, srv_out *out, const char *text) {
    const srv_options *options = service->options;
    for (; *text != '\0'; text++) {
        if (*text == '%') {
            srv_out_int(out, vector_length(service));
        } else if (*text == '@') {
            srv_out_int(out, options->items);
        } else if (*text == '#' && text[1] == ',') { /* one less: the source sentence */
            srv_out_int(out, options->items > 1 ? options->items - 1 : 1);
        } else {
            srv_out_bytes(out, *text == '\'' ? "\"" : text, 1);
        }
    }
}

/* The schema of a member by its kind, if its row has none. */
static void write_kind(srv_out *out, const srv_field *field) {
    switch (field->kind) {
    case SRV_FIELD_BOOL:
    case SRV_FIELD_SWITCH:
        srv_out_text(out, "\"type\":[\"boolean\",\"null\"]");
        break;
    case SRV_FIELD_WHOLE:
        srv_out_format(out, "\"type\":[\"integer\",\"null\"],\"minimum\":%lld,\"maximum\":%lld",
                       (long long)field->min, (long long)field->max);
        break;
    case SRV_FIELD_CHOICE:
        srv_out_text(out, "\"enum\":[");
        for (const char *at = field->choices; *at != '\0'; at += strcspn(at, "|"), at += *at == '|')
            srv_out_format(out, "\"%.*s\",", (int)strcspn(at, "|"), at);
        srv_out_text(out, "null]");
        break;
    case SRV_FIELD_TEXT:
        srv_out_text(out, "\"type\":[\"string\",\"null\"]");
        break;
    case SRV_FIELD_STRINGS:
        srv_out_text(out, "\"type\":[\"string\",\"array\",\"null\"],\"items\":{\"type\":\"string\"}");
        break;
    case SRV_FIELD_OWN:
        break;
    case SRV_FIELD_UNUSED:
        srv_out_text(out, "\"x-unused\":true");
        break;
    }
}

static void write_field(srv_service *service, srv_out *out, const srv_field *field) {
    srv_out_format(out, "\"%s\":", field->name);
    if (field->schema != NULL) {
        write_schema(service, out, field->schema);
        return;
    }
    srv_out_text(out, "{");
    write_kind(out, field);
    if (field->help != NULL) srv_out_format(out, ",\"description\":\"%s\"", field->help);
    srv_out_text(out, "}");
}

static void write_form(srv_service *service, srv_out *out, const srv_form *form) {
    bool first = true;
    srv_out_format(out, "\"%s\":{\"type\":\"object\",\"additionalProperties\":false,\"required\":[",
                   form->name);
    for (const srv_field *field = form->fields; field->name != NULL; field++) {
        if (!field->required) continue;
        srv_out_format(out, "%s\"%s\"", first ? "" : ",", field->name);
        first = false;
    }
    srv_out_text(out, "],\"properties\":{");
    for (const srv_field *field = form->fields; field->name != NULL; field++) {
        if (field > form->fields) srv_out_text(out, ",");
        write_field(service, out, field);
    }
    srv_out_text(out, "}}");
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
    bool text = route->content == SRV_CONTENT_TEXT, page = route->content == SRV_CONTENT_PAGE;
    srv_out_text(out, ",\"responses\":{\"200\":{\"description\":\"done\",\"content\":{");
    if (page) srv_out_text(out, "\"text/html\":{\"schema\":{\"type\":\"string\"}},");
    if (text) {
        srv_out_text(out, "\"text/plain\":{\"schema\":{\"type\":\"string\"}}}}");
    } else {
        srv_out_format(out, "\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/%s\"}}}}",
                       page ? "Health" : route->reply);
    }
    const char *error = route->wire == SRV_WIRE_OPENAI ? "OpenAiError" : "Error";
    if (route->wire == SRV_WIRE_V2 && route->read == NULL) error = NULL; /* 503 uses the reply's form, too */
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
            route->form->name);
    write_reply(out, route);
    srv_out_text(out, "}");
}

/* Groups the methods of a path, whatever the order of the rows. */
static void write_path(const srv_service *service, srv_out *out, size_t index, bool secured) {
    bool first = true;
    srv_out_format(out, "\"%s\":{", service->routes[index].path);
    for (size_t i = index; i < service->route_count; i++) {
        if (strcmp(service->routes[i].path, service->routes[index].path) != 0) continue;
        if (!first) srv_out_text(out, ",");
        first = false;
        write_operation(out, &service->routes[i], secured);
    }
    srv_out_text(out, "}");
}

static bool is_first(const srv_service *service, size_t index) {
    for (size_t i = 0; i < index; i++) {
        if (strcmp(service->routes[i].path, service->routes[index].path) == 0) return false;
    }
    return true;
}

void srv_write_openapi(srv_call *call) {
    srv_out *out = &call->answer;
    bool secured = call->service->options->keys_path != NULL;
    srv_out_format(out,
                   "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"retort\",\"version\":\"%d.%d.%d\","
                   "\"license\":{\"name\":"
                   "\"Apache-2.0\"}}",
                   RETORT_VERSION_MAJOR, RETORT_VERSION_MINOR, RETORT_VERSION_PATCH);
    if (secured) srv_out_text(out, ",\"security\":[{\"key\":[]}]");
    srv_out_text(out, ",\"paths\":{");
    for (size_t i = 0; i < call->service->route_count; i++) {
        if (!is_first(call->service, i)) continue;
        if (i > 0) srv_out_text(out, ",");
        write_path(call->service, out, i, secured);
    }
    srv_out_text(out, "},\"components\":{");
    if (secured)
        srv_out_text(out, "\"securitySchemes\":{\"key\":{\"type\":\"http\",\"scheme\":\"bearer\"}},");
    srv_out_text(out, "\"schemas\":{");
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++) {
        srv_out_format(out, "%s\"%s\":", i > 0 ? "," : "", schemas[i].name);
        write_schema(call->service, out, schemas[i].schema);
    }
    for (size_t i = 0; srv_forms[i] != NULL; i++) {
        srv_out_text(out, ",");
        write_form(call->service, out, srv_forms[i]);
    }
    srv_out_text(out, "}}}");
}
