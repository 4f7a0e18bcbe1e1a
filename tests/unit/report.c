/* report.c - tests of sim/report: what the fixed result folder tests/golden_csv means,
 * and what happens to text that is not meant as HTML. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/report/page.h"
#include "sim/report/report.h"
#include "sim/report/table.h"
#include "tests/tap.h"

static struct sps_source source;
static struct sps_view view;
static char folder[1024];

static const char *top(void)
{
    const char *srcdir = getenv("srcdir");
    return srcdir ? srcdir : ".";
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9;
}

static const struct sps_entry *entry(const char *name)
{
    for (int64_t i = 0; i < view.entry_count; i++)
        if (strcmp(view.entries[i].name, name) == 0)
            return &view.entries[i];
    CU_FAIL_FATAL("no such entry");
    return NULL;
}

static void test_header(void)
{
    for (int file = 0; file < SPS_CSV_COUNT; file++) {
        const struct sps_csv_file *csv = &sps_csv_files[file];
        CU_ASSERT_EQUAL_FATAL(source.table[file].columns, (int64_t)csv->count);
        for (size_t i = 0; i < csv->count; i++)
            CU_ASSERT_STRING_EQUAL(source.table[file].cells[i], csv->columns[i].name);
    }
}

static void test_entries(void)
{
    const struct sps_entry *nsa = entry("nsa select_count=4");

    CU_ASSERT_EQUAL(view.entry_count, 10);
    CU_ASSERT_EQUAL(view.failure_count, 1);
    CU_ASSERT_EQUAL_FATAL(view.setting_count, 1);
    CU_ASSERT_STRING_EQUAL(view.settings[0].title,
                           "made-up, 1024 keys, 512 rows, prefill, cpu, bf16");
    CU_ASSERT_STRING_EQUAL(view.settings[0].family, "made-up, prefill, cpu, bf16");
    CU_ASSERT_EQUAL(nsa->points, 2);
    CU_ASSERT(near(nsa->value[SPS_R_recall_mass], 0.99 - 0.0625 / 2));
    CU_ASSERT(near(nsa->value[SPS_R_tokens_read], 256));
    CU_ASSERT(isnan(nsa->value[SPS_R_energy_j]));
    CU_ASSERT_TRUE(entry("oracle_topk topk=4")->oracle);
    CU_ASSERT_TRUE(entry("full")->degenerate);
    CU_ASSERT_EQUAL(entry("given")->setting, -1);
    CU_ASSERT_FALSE(view.hot);
}

static void test_series(void)
{
    CU_ASSERT_STRING_EQUAL(entry("full")->series, "full");
    CU_ASSERT_STRING_EQUAL(entry("nsa select_count=2")->series, "nsa select_count=*");
    CU_ASSERT_STRING_EQUAL(entry("moba block=64 topk=2")->series, "moba block=64 topk=*");
    /* alone in "block=* topk=2": the other one belongs to the line over topk */
    CU_ASSERT_STRING_EQUAL(entry("moba block=128 topk=2")->series,
                           "moba block=128 topk=2");
}

/* Slice of figure `name`, as a table. */
static void slice(const char *name, struct sps_table *table, int64_t *rows)
{
    struct sps_text csv = {0};
    int64_t cut;
    const struct sps_figure *f = sps_figures;

    while (f->name && strcmp(f->name, name) != 0)
        f++;
    CU_ASSERT_PTR_NOT_NULL_FATAL(f->name);
    CU_ASSERT_EQUAL_FATAL(f->slice(&view, f, 0, &csv, rows, &cut), SPS_OK);
    CU_ASSERT_EQUAL(cut, 0);
    *table = (struct sps_table){0};
    if (*rows)
        CU_ASSERT_EQUAL(sps_table_parse(csv.data, csv.length, name, table), SPS_OK);
    CU_ASSERT_EQUAL(table->rows, *rows);
    sps_text_free(&csv);
}

static void test_slices(void)
{
    struct sps_table t;
    int64_t rows, x, series;
    double last = 0, value, previous = 0, number;

    slice("recall-tokens", &t, &rows);
    CU_ASSERT_EQUAL(rows, 9);
    CU_ASSERT_EQUAL_FATAL(sps_table_column(&t, "tokens_read", &x), SPS_OK);
    CU_ASSERT_EQUAL_FATAL(sps_table_column(&t, "series", &series), SPS_OK);
    for (int64_t i = 0; i < rows; i++) { /* by series, then by x */
        CU_ASSERT_EQUAL(sps_table_number(&t, i, series, &number), SPS_OK);
        CU_ASSERT_EQUAL(sps_table_number(&t, i, x, &value), SPS_OK);
        CU_ASSERT(number == previous ? value >= last : number == previous + 1);
        previous = number;
        last = value;
    }
    sps_table_free(&t);
    slice("recall-time", &t, &rows);
    CU_ASSERT_EQUAL(rows, 8); /* no oracle */
    sps_table_free(&t);
    slice("heads", &t, &rows);
    CU_ASSERT_EQUAL(rows, 9 * 4);
    sps_table_free(&t);
    slice("time-length", &t, &rows);
    CU_ASSERT_EQUAL(rows, 0); /* one length only */
    sps_table_free(&t);
}

static void test_stages(void)
{
    struct sps_table t;
    int64_t rows, begin, end, row, stage;
    double at = 0, from, to;
    const char *bar = "";

    slice("stages-time", &t, &rows);
    CU_ASSERT_EQUAL_FATAL(sps_table_column(&t, "begin_ms", &begin), SPS_OK);
    CU_ASSERT_EQUAL_FATAL(sps_table_column(&t, "end_ms", &end), SPS_OK);
    CU_ASSERT_EQUAL_FATAL(sps_table_column(&t, "row", &row), SPS_OK);
    CU_ASSERT_EQUAL_FATAL(sps_table_column(&t, "stage", &stage), SPS_OK);
    for (int64_t i = 0; i < rows; i++) { /* each stage starts where the last one ends */
        if (strcmp(bar, sps_table_cell(&t, i, row)) != 0)
            at = 0;
        bar = sps_table_cell(&t, i, row);
        CU_ASSERT_EQUAL(sps_table_number(&t, i, begin, &from), SPS_OK);
        CU_ASSERT_EQUAL(sps_table_number(&t, i, end, &to), SPS_OK);
        CU_ASSERT(
            near(from, strcmp(sps_table_cell(&t, i, stage), "total") == 0 ? 0 : at));
        at = to;
    }
    sps_table_free(&t);
}

static void test_verdict(void)
{
    struct sps_text html = {0};

    sps_page_verdict(&view, 0, &html);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(sps_text_string(&html),
               "<b>nsa select_count=4</b> reads 50&nbsp;% of the pairs and "
               "keeps 95.9&nbsp;%"));
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_text_string(&html), "1.6 times as fast"));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(sps_text_string(&html), "<b>oracle_topk topk=4</b>, needs 37.5&nbsp;%"));
    sps_text_free(&html);
}

static void test_escape(void)
{
    struct sps_text html = {0};

    sps_html_printf(&html, "<i title=\"%s\">%s</i>", "\"'", "<&>");
    CU_ASSERT_STRING_EQUAL(html.data, "<i title=\"&quot;&#39;\">&lt;&amp;&gt;</i>");
    sps_text_clear(&html);
    sps_html_put(&html, "\xc2\xb5 \xff \x01 \xe2\x82");
    CU_ASSERT_STRING_EQUAL(html.data, "\xc2\xb5 \xef\xbf\xbd \xef\xbf\xbd \xef\xbf\xbd"
                                      "\xef\xbf\xbd");
    sps_text_clear(&html);
    sps_page_failures(&view, &html);
    CU_ASSERT_PTR_NOT_NULL(strstr(html.data, "&lt;b&gt;&amp;&quot;quoted&quot;"));
    CU_ASSERT_PTR_NULL(strstr(html.data, "<b>&"));
    sps_text_free(&html);
}

static void test_template(void)
{
    static const struct sps_field fields[] = {
        {"a", "<1>", false}, {"b", "<2>", true}, {0}};
    struct sps_text html = {0};

    CU_ASSERT_EQUAL(sps_html_fill(&html, "x{{a}}{{b}}y", "t", fields), SPS_OK);
    CU_ASSERT_STRING_EQUAL(html.data, "x&lt;1&gt;<2>y");
    CU_ASSERT_EQUAL(sps_html_fill(&html, "\n{{c}}", "t", fields), SPS_EINVAL);
    CU_ASSERT_STRING_EQUAL(sps_error(), "t:2: {{c}} is not a field");
    CU_ASSERT_EQUAL(sps_html_fill(&html, "{{a", "t", fields), SPS_EINVAL);
    sps_text_free(&html);
}

static void test_terminal(void)
{
    char line[512];
    int lines = 0, named = 0;
    FILE *out = tmpfile();

    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    CU_ASSERT_EQUAL(sps_report_table(folder, out), SPS_OK);
    rewind(out);
    while (fgets(line, sizeof line, out)) {
        lines++;
        named += strncmp(line, "nsa select_count=2 ", 19) == 0;
        CU_ASSERT_PTR_NULL(strchr(line, '\033')); /* a file is no terminal */
    }
    CU_ASSERT_EQUAL(lines, 1 + 1 + 9 + 1 + 1 + 1);
    CU_ASSERT_EQUAL(named, 1);
    fclose(out);
}

/* A folder of our own for pages, removed by clean(). */
static void make(char *work, size_t size, char *page, size_t page_size)
{
    snprintf(work, size, "report-test-%ld", (long)getpid());
    snprintf(page, page_size, "%s/report.html", work);
    mkdir(work, 0777);
}

static void clean(const char *work)
{
    char command[256];

    snprintf(command, sizeof command, "rm -rf '%s'", work);
    CU_ASSERT_EQUAL(system(command), 0);
}

static void test_no_gnuplot(void)
{
    char work[64], page[96];
    const char *folders[] = {folder};
    struct sps_text html = {0};

    make(work, sizeof work, page, sizeof page);
    CU_ASSERT_EQUAL(sps_report_write(folders, 1, page, top(), "no-such-gnuplot"), SPS_OK);
    CU_ASSERT_EQUAL_FATAL(sps_text_read(&html, page, 1 << 24), SPS_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(html.data, "'no-such-gnuplot' could not be run"));
    CU_ASSERT_PTR_NOT_NULL(strstr(html.data, "nsa select_count=4"));
    CU_ASSERT_PTR_NULL(strstr(html.data, "<svg"));
    sps_text_clear(&html);
    CU_ASSERT_EQUAL(sps_report_write(folders, 1, page, top(), "false"), SPS_EIO);
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), "false: "));
    CU_ASSERT_EQUAL(sps_report_write(folders, 1, page, work, "false"), SPS_EIO);
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), "page.html"));
    sps_text_free(&html);
    clean(work);
}

static void test_no_results(void)
{
    char work[64], page[96];
    const char *folders[] = {work};

    make(work, sizeof work, page, sizeof page);
    CU_ASSERT_EQUAL(sps_report_write(folders, 1, page, top(), "false"), SPS_EIO);
    CU_ASSERT_PTR_NOT_NULL(strstr(sps_error(), "results.csv: "));
    clean(work);
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"the fixed folder has today's columns", test_header},
        {"points are averaged into entries of one setting", test_entries},
        {"a series varies one number", test_series},
        {"slices hold what is drawn, in order", test_slices},
        {"stages stand end to end", test_stages},
        {"the verdict names the cheapest method", test_verdict},
        {"text is escaped", test_escape},
        {"templates are filled or refused", test_template},
        {"the terminal table is aligned and plain", test_terminal},
        {"without gnuplot there is a page and a sentence", test_no_gnuplot},
        {"a folder without results is refused", test_no_results},
        {0},
    };

    snprintf(folder, sizeof folder, "%s/tests/golden_csv", top());
    if (sps_source_read(folder, &source) != SPS_OK ||
        sps_view_build(&source, 1, &view) != SPS_OK) {
        printf("Bail out! %s\n", sps_error());
        return 99;
    }
    int status = tap_run("report", tests);
    sps_view_free(&view);
    sps_source_free(&source);
    return status;
}
