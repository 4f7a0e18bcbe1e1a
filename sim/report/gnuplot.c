/* gnuplot.c - fork, exec, collect what is printed, wait. */
#include "sim/report/gnuplot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NO_FOLDER = 126, NO_PROGRAM = 127, KEPT = 1024 };

/* The child: never returns.  The program is named as seen from the caller's folder. */
static void become(const char *program, const char *folder, const char *const *argv,
                   int out)
{
    if (chdir(folder) != 0)
        _exit(NO_FOLDER);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    close(out);
    execvp(program, (char *const *)argv);
    _exit(NO_PROGRAM);
}

/* All that comes, of which the first KEPT - 1 bytes are kept, in one line. */
static void collect(int in, char text[KEPT])
{
    char buffer[512];
    size_t kept = 0;
    ssize_t n;

    while ((n = read(in, buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR))
        for (ssize_t i = 0; i < n && kept < KEPT - 1; i++) {
            char c = buffer[i] == '\n' || buffer[i] == '\r' ? ' ' : buffer[i];
            if (c != ' ' || (kept > 0 && text[kept - 1] != ' '))
                text[kept++] = c;
        }
    text[kept] = '\0';
}

static enum sps_status judge(const char *program, const char *folder, int ended,
                             const char *said)
{
    if (WIFEXITED(ended) && WEXITSTATUS(ended) == 0)
        return SPS_OK;
    if (WIFEXITED(ended) && WEXITSTATUS(ended) == NO_PROGRAM)
        return sps_fail(SPS_ENOTSUP, "cannot run '%s'", program);
    if (WIFEXITED(ended) && WEXITSTATUS(ended) == NO_FOLDER)
        return sps_fail(SPS_EIO, "%s: not a folder that can be entered", folder);
    if (WIFSIGNALED(ended))
        return sps_fail(SPS_EIO, "%s: ended by signal %d: %s", program, WTERMSIG(ended),
                        said);
    return sps_fail(SPS_EIO, "%s: %s", program, said);
}

static enum sps_status run(const char *program, const char *folder,
                           const char *const *argv)
{
    int ends[2], ended = 0;
    char said[KEPT];

    if (pipe(ends) != 0)
        return sps_fail(SPS_EIO, "no pipe to %s: %s", program, strerror(errno));
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        become(program, folder, argv, ends[1]);
    }
    close(ends[1]);
    if (child > 0)
        collect(ends[0], said);
    close(ends[0]);
    if (child < 0)
        return sps_fail(SPS_EIO, "no process for %s: %s", program, strerror(errno));
    while (waitpid(child, &ended, 0) < 0)
        if (errno != EINTR)
            return sps_fail(SPS_EIO, "%s: %s", program, strerror(errno));
    return judge(program, folder, ended, said);
}

enum sps_status sps_gnuplot_run(const char *program, const char *folder,
                                const char *const *argv)
{
    if (!strchr(program, '/'))
        return run(program, folder, argv);
    char *path = realpath(program, NULL);
    if (!path)
        return sps_fail(SPS_ENOTSUP, "cannot run '%s': %s", program, strerror(errno));
    enum sps_status status = run(path, folder, argv);
    free(path);
    return status;
}
