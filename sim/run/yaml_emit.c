/* yaml_emit.c - the tree back into YAML text. */
#include "sim/run/yaml.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* True when `text` reads back as itself without quotes, anywhere we put it. */
static bool plain(const char *text)
{
    size_t n = strlen(text);
    bool starts = isalnum((unsigned char)text[0]) || text[0] == '_' || text[0] == '/';
    bool path = strncmp(text, "../", 3) == 0 || strncmp(text, "./", 2) == 0;
    bool number = n > 1 && strchr("+-.", text[0]) && isdigit((unsigned char)text[1]);

    for (const char *p = text; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("_./+- ", *p) &&
            !(*p == ':' && p[1] && p[1] != ' '))
            return false;
    return n > 0 && text[n - 1] != ' ' && (starts || path || number);
}

static void put_text(FILE *f, const char *text)
{
    if (plain(text)) {
        fputs(text, f);
        return;
    }
    putc('"', f);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putc('\\', f);
        putc(*text, f);
    }
    putc('"', f);
}

/* Short enough for one line: texts, and lists of nothing else. */
static bool flat(const struct sps_yaml *node)
{
    if (node->kind == SPS_YAML_MAP)
        return node->count == 0;
    for (const struct sps_yaml *c = node->child; c; c = c->next)
        if (!flat(c))
            return false;
    return true;
}

static void put_flat(FILE *f, const struct sps_yaml *node)
{
    if (node->kind == SPS_YAML_TEXT) {
        put_text(f, node->text);
        return;
    }
    putc(node->kind == SPS_YAML_LIST ? '[' : '{', f);
    for (const struct sps_yaml *c = node->child; c; c = c->next) {
        put_flat(f, c);
        if (c->next)
            fputs(", ", f);
    }
    putc(node->kind == SPS_YAML_LIST ? ']' : '}', f);
}

/* The node's lines at `indent`; the cursor stands where its first line begins. */
static void put_block(FILE *f, const struct sps_yaml *node, int indent)
{
    for (const struct sps_yaml *c = node->child; c; c = c->next) {
        if (c != node->child)
            fprintf(f, "%*s", indent, "");
        if (node->kind == SPS_YAML_LIST) {
            fputs("- ", f);
        } else {
            put_text(f, c->key);
            fputs(flat(c) ? ": " : ":\n", f);
            if (!flat(c))
                fprintf(f, "%*s", indent + 2, "");
        }
        if (flat(c)) {
            put_flat(f, c);
            putc('\n', f);
        } else {
            put_block(f, c, indent + 2);
        }
    }
}

char *sps_yaml_emit(const struct sps_yaml *root)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    if (f) {
        if (flat(root)) {
            put_flat(f, root);
            putc('\n', f);
        } else {
            put_block(f, root, 0);
        }
        if (fclose(f) == 0)
            return text;
        free(text);
    }
    sps_fail(SPS_ENOMEM, "no memory for the resolved experiment file");
    return NULL;
}
