/* csv.c - tests of base/csv and base/text: what is written is read back, what is
 * malformed is refused with its line. */
#include "base/csv.h"
#include "tests/tap.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TEXT_IS(a, b) CU_ASSERT_STRING_EQUAL(a, b)

static void test_write(void)
{
    struct sps_text text = {0};
    struct sps_csv_row row = {.text = &text};

    sps_csv_row_text(&row, "plain");
    sps_csv_row_text(&row, "a,\"b\"");
    sps_csv_row_text(&row, NULL);
    sps_csv_row_count(&row, INT64_MIN);
    sps_csv_row_real(&row, 1.0 / 3);
    sps_csv_row_real(&row, -NAN);
    sps_csv_row_real(&row, 1e300);
    sps_csv_row_none(&row);
    sps_csv_row_end(&row);
    sps_csv_row_text(&row, " blank ");
    sps_csv_row_end(&row);
    TEXT_IS(sps_text_string(&text),
            "plain,\"a,\"\"b\"\"\",,-9223372036854775808,0.333333333,"
            "nan,1e+300,\r\n\" blank \"\r\n");
    CU_ASSERT_EQUAL(sps_text_check(&text), SPS_OK);
    sps_text_free(&text);
}

static const char *const nasty[] = {
    "",      "x",  "a,b", "say \"no\"", "two\nlines", "cr\r\nlf", " lead",
    "tail ", "\"", "µs",  "=1+1",       "nan",        "'quote'"};
enum { NASTY = sizeof nasty / sizeof *nasty };

static void test_round_trip(void)
{
    struct sps_text text = {0};
    struct sps_csv_row row = {.text = &text};
    struct sps_table table;

    for (int64_t r = 0; r < 3; r++) {
        for (int64_t i = 0; i < NASTY; i++) {
            char name[16];
            snprintf(name, sizeof name, "c%d", (int)i);
            sps_csv_row_text(&row, r ? nasty[(i + r) % NASTY] : name);
        }
        sps_csv_row_end(&row);
    }
    CU_ASSERT_EQUAL_FATAL(sps_table_parse(text.data, text.length, "x.csv", &table),
                          SPS_OK);
    CU_ASSERT_EQUAL(table.columns, NASTY);
    CU_ASSERT_EQUAL_FATAL(table.rows, 2);
    for (int64_t r = 0; r < 2; r++)
        for (int64_t i = 0; i < NASTY; i++)
            TEXT_IS(sps_table_cell(&table, r, i), nasty[(i + r + 1) % NASTY]);
    sps_table_free(&table);
    sps_text_free(&text);
}

static void test_lookup(void)
{
    static const char bytes[] = "a,b\n1.5,\nnan,x\n";
    struct sps_table t;
    int64_t column = -2;
    double value = 0;

    CU_ASSERT_EQUAL_FATAL(sps_table_parse(bytes, strlen(bytes), "r.csv", &t), SPS_OK);
    CU_ASSERT_EQUAL(sps_table_find(&t, "b"), 1);
    CU_ASSERT_EQUAL(sps_table_find(&t, "c"), -1);
    CU_ASSERT_EQUAL(sps_table_column(&t, "c", &column), SPS_ECONFIG);
    TEXT_IS(sps_error(), "r.csv:1: no column 'c'");
    CU_ASSERT_EQUAL(column, -2);
    CU_ASSERT_EQUAL(sps_table_number(&t, 0, 0, &value), SPS_OK);
    CU_ASSERT_EQUAL(value, 1.5);
    CU_ASSERT_EQUAL(sps_table_number(&t, 0, 1, &value), SPS_OK);
    CU_ASSERT(isnan(value));
    value = 0;
    CU_ASSERT_EQUAL(sps_table_number(&t, 1, 0, &value), SPS_OK);
    CU_ASSERT(isnan(value));
    CU_ASSERT_EQUAL(sps_table_number(&t, 1, 1, &value), SPS_ECONFIG);
    TEXT_IS(sps_error(), "r.csv:3: b: 'x' is not a number");
    TEXT_IS(sps_table_cell(&t, 0, -1), "");
    CU_ASSERT_EQUAL(sps_table_number(&t, 0, -1, &value), SPS_OK);
    sps_table_free(&t);
}

/* What is refused, and how the message must begin. */
static const struct {
    const char *bytes, *message;
    size_t size;
} bad[] = {
    {"", "r.csv: empty", 0},
    {"a,b\r\n1,2\r\n3\r\n", "r.csv:3: 1 fields where the header has 2", 0},
    {"a,b\n\"two\nlines\",2\n1,2,3\n", "r.csv:4: 3 fields", 0},
    {"a,b\n1,2\n3,", NULL, 0},
    {"a,b\n1,2\n3", "r.csv:3: 1 fields", 0},
    {"a,b\n1,x\"y\n", "r.csv:2: a quote", 0},
    {"a,b\n1,\"open\n2,3\n", "r.csv:3: a quote", 0},
    {"a,a\n", "r.csv:1: two columns are named 'a'", 0},
    {"a,\n", "r.csv:1: column 2 has no name", 0},
    {"a\nx\0y\n", "r.csv:2: a NUL byte", 6},
};

static void test_malformed(void)
{
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sps_table t;
        size_t size = bad[i].size ? bad[i].size : strlen(bad[i].bytes);
        enum sps_status status = sps_table_parse(bad[i].bytes, size, "r.csv", &t);

        CU_ASSERT_EQUAL(status, bad[i].message ? SPS_ECONFIG : SPS_OK);
        if (bad[i].message)
            CU_ASSERT(strncmp(sps_error(), bad[i].message, strlen(bad[i].message)) == 0);
        sps_table_free(&t);
    }
}

static void test_files(void)
{
    char path[64];
    struct sps_text text = {0}, back = {0};

    snprintf(path, sizeof path, "csv-test-%ld.csv", (long)getpid());
    sps_text_put(&text, "a,b\r\n1,2\r\n");
    CU_ASSERT_EQUAL(sps_text_save(&text, path), SPS_OK);
    CU_ASSERT_EQUAL(sps_text_read(&back, path, 100), SPS_OK);
    TEXT_IS(sps_text_string(&back), text.data);
    sps_text_clear(&back);
    CU_ASSERT_EQUAL(sps_text_read(&back, path, 9), SPS_ECONFIG);
    remove(path);
    sps_text_clear(&back);
    CU_ASSERT_EQUAL(sps_text_read(&back, path, 9), SPS_EIO);
    CU_ASSERT_EQUAL(sps_text_save(&text, "no-such-folder/x.csv"), SPS_EIO);
    CU_ASSERT(strstr(sps_error(), "no-such-folder/x.csv") != NULL);
    sps_text_free(&text);
    sps_text_free(&back);
}

static void test_growth(void)
{
    struct sps_text text = {0};

    for (int i = 0; i < 5000; i++)
        sps_text_printf(&text, "%d;", i % 10);
    CU_ASSERT_EQUAL(text.length, 10000);
    CU_ASSERT_EQUAL(strlen(text.data), 10000);
    TEXT_IS(text.data + 9996, "8;9;");
    sps_text_free(&text);
    TEXT_IS(sps_text_string(&text), "");
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"fields are written as documented", test_write},
        {"text comes back byte for byte", test_round_trip},
        {"cells are found by name", test_lookup},
        {"malformed files are refused with their line", test_malformed},
        {"files are read whole and replaced at once", test_files},
        {"a text grows", test_growth},
        {0},
    };

    return tap_run("csv", tests);
}
