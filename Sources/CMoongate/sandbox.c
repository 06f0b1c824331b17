// Takes from the process what an edge never needs.
#define _GNU_SOURCE
#include "mg_system.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

// No prctl(2) of the kernel's. The filter answers it with EALREADY, so that a process which was started by another one
// that has the filter knows, and does not put a second one on top with every upgrade.
#define QUESTION_STANDARD 0x6d670001
#define QUESTION_STRICT 0x6d670002

// What reaches into other processes, into the kernel or beyond the process's own rights.
static const int refused[] = {
    __NR_ptrace, __NR_process_vm_readv, __NR_process_vm_writev, __NR_kcmp,
#ifdef __NR_pidfd_getfd
    __NR_pidfd_getfd,
#endif
    __NR_mount, __NR_umount2, __NR_pivot_root, __NR_chroot, __NR_unshare, __NR_setns,
#ifdef __NR_move_mount
    __NR_move_mount, __NR_open_tree, __NR_fsopen, __NR_fsmount, __NR_fsconfig, __NR_fspick,
#endif
#ifdef __NR_mount_setattr
    __NR_mount_setattr,
#endif
    __NR_init_module, __NR_finit_module, __NR_delete_module, __NR_kexec_load,
#ifdef __NR_kexec_file_load
    __NR_kexec_file_load,
#endif
    __NR_bpf, __NR_perf_event_open, __NR_userfaultfd,
#ifdef __NR_io_uring_setup
    __NR_io_uring_setup, __NR_io_uring_enter, __NR_io_uring_register,
#endif
    __NR_add_key, __NR_request_key, __NR_keyctl, __NR_open_by_handle_at, __NR_name_to_handle_at, __NR_personality,
    __NR_reboot, __NR_swapon, __NR_swapoff, __NR_acct, __NR_quotactl, __NR_settimeofday, __NR_clock_settime,
    __NR_adjtimex, __NR_clock_adjtime, __NR_sethostname, __NR_setdomainname, __NR_syslog, __NR_vhangup,
    __NR_mknodat,
#ifdef __NR_mknod
    __NR_mknod,
#endif
#ifdef __NR_iopl
    __NR_iopl, __NR_ioperm, __NR_modify_ldt,
#endif
    __NR_setuid, __NR_setgid, __NR_setreuid, __NR_setregid, __NR_setresuid, __NR_setresgid, __NR_setfsuid,
    __NR_setfsgid, __NR_setgroups, __NR_capset,
};

static const int programs[] = {__NR_execve, __NR_execveat};

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define REFUSE(error) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define UNLESS_EQUAL(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skip))

#ifdef ARCHITECTURE
static size_t refuse_all(struct sock_filter *code, size_t count, const int *numbers, size_t size) {
    for (size_t i = 0; i < size; i++) {
        code[count++] = (struct sock_filter)UNLESS_EQUAL((unsigned)numbers[i], 1);
        code[count++] = (struct sock_filter)REFUSE(EPERM);
    }
    return count;
}

static int install(bool strict) {
    struct sock_filter code[32 + 2 * (COUNT(refused) + COUNT(programs))];
    const struct sock_filter head[] = {
        // System calls of other architectures have other numbers.
        LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0), REFUSE(EPERM), LOAD(nr),
#ifdef __x86_64__
        // So have those of x32.
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1), REFUSE(EPERM),
#endif
        UNLESS_EQUAL(__NR_prctl, strict ? 6 : 4),
        // The lower half of the first argument; both architectures are little-endian.
        LOAD(args[0]), UNLESS_EQUAL(QUESTION_STANDARD, 1), REFUSE(EALREADY),
    };
    size_t count = 0;
    for (; count < COUNT(head); count++) code[count] = head[count];
    if (strict) {
        code[count++] = (struct sock_filter)UNLESS_EQUAL(QUESTION_STRICT, 1);
        code[count++] = (struct sock_filter)REFUSE(EALREADY);
    }
    code[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    count = refuse_all(code, count, refused, COUNT(refused));
    if (strict) count = refuse_all(code, count, programs, COUNT(programs));
    code[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = (unsigned short)count, .filter = code};
    // For all threads: those that serve have long begun.
    long answer = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
    // A positive answer is a thread that could not be brought along.
    return answer == 0 ? 0 : answer > 0 ? EBUSY : errno;
}
#endif

int mg_refuse_system_calls(bool strict) {
#ifdef ARCHITECTURE
    if (prctl(strict ? QUESTION_STRICT : QUESTION_STANDARD, 0, 0, 0, 0) < 0 && errno == EALREADY) return 0;
    return install(strict);
#else
    (void)strict;
    return ENOSYS;
#endif
}

int mg_refuse_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : errno; }
