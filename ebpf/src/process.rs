//! Processes that come and go, and which of them are selected.

use crate::{
    layout::kernel,
    maps::{BINARIES, CALLS, IO_URING_CALLS, PROCESSES, WAITS, send},
    memory::typed,
};
use aya_ebpf::{
    helpers::generated::{
        bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid,
        bpf_get_current_task_btf, bpf_ktime_get_ns, bpf_probe_read_kernel_str,
    },
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use threadline_common::{
    map::{FileId, PROCESS_SKIP, Process},
    record::{EXEC_PATH, Exec, Header, KIND_EXEC, KIND_EXIT},
};

/// The running thread.
#[derive(Clone, Copy)]
pub struct Task {
    pub tgid: u32,
    pub tid: u32,
    pub process: Process,
}

/// The running thread if its process is not deselected.
#[inline(always)]
pub fn selected() -> Option<Task> {
    // SAFETY: helper without arguments.
    let id = unsafe { bpf_get_current_pid_tgid() };
    let (tgid, tid) = ((id >> 32) as u32, id as u32);
    // SAFETY: the value is copied at once; a torn read mixes two judgements of one process at worst.
    let process = unsafe { PROCESSES.get(tgid) }.copied().unwrap_or_default();
    if process.flags & PROCESS_SKIP != 0 {
        return None;
    }
    Some(Task { tgid, tid, process })
}

/// Head of a record about the running thread, now.
#[inline(always)]
pub fn header(task: &Task, kind: u16, size: usize) -> Header {
    // SAFETY: helper without arguments.
    let ktime_ns = unsafe { bpf_ktime_get_ns() };
    Header {
        ktime_ns,
        tgid: task.tgid,
        tid: task.tid,
        size: size as u32,
        kind,
        pad: 0,
    }
}

/// A program is replaced: its pid may be selected, or run Go, from here on.
///
/// kernel: include/trace/events/sched.h: sched_process_exec(struct task_struct *p, pid_t old_pid,
/// struct linux_binprm *bprm)
#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_exec(ctx: BtfTracePointContext) -> i32 {
    let task: *const u8 = ctx.arg(0);
    let task = task as u64;
    // SAFETY: helpers without arguments.
    let (id, cgroup) = unsafe { (bpf_get_current_pid_tgid(), bpf_get_current_cgroup_id()) };
    let (tgid, tid) = ((id >> 32) as u32, id as u32);

    let mm: u64 = typed(task, kernel!(task_mm));
    let file: u64 = typed(mm, kernel!(mm_exe_file));
    let inode: u64 = typed(file, kernel!(file_inode));
    let sb: u64 = typed(inode, kernel!(inode_sb));
    let key = FileId {
        inode: typed(inode, kernel!(inode_ino)),
        device: typed(sb, kernel!(sb_dev)),
        pad: 0,
    };
    // SAFETY: copied at once.
    match unsafe { BINARIES.get(key) } {
        Some(known) => {
            let _ = PROCESSES.insert(tgid, known, 0);
        }
        None => {
            let _ = PROCESSES.remove(tgid);
        }
    }
    let me = Task {
        tgid,
        tid,
        process: Process {
            flags: 0,
            binary: 0,
        },
    };
    let mut exec = Exec {
        header: header(&me, KIND_EXEC, size_of::<Exec>()),
        start_ns: typed(task, kernel!(task_start)),
        cgroup,
        comm: [0; 16],
        path: [0; EXEC_PATH],
    };
    let bprm: *const u8 = ctx.arg(2);
    let filename: u64 = typed(bprm as u64, kernel!(bprm_filename));
    // SAFETY: the helper checks the source and writes at most EXEC_PATH bytes to our stack.
    unsafe {
        bpf_probe_read_kernel_str(
            exec.path.as_mut_ptr().cast(),
            EXEC_PATH as u32,
            filename as *const _,
        )
    };
    // SAFETY: 16 bytes of our stack.
    unsafe { bpf_get_current_comm(exec.comm.as_mut_ptr().cast(), 16) };
    send((&raw const exec).cast(), size_of::<Exec>() as u64);
    0
}

/// A thread ends; with the last one its process.
///
/// kernel: include/trace/events/sched.h: sched_process_exit(struct task_struct *p, ...)
#[btf_tracepoint(function = "sched_process_exit")]
pub fn process_exit(_ctx: BtfTracePointContext) -> i32 {
    // SAFETY: helpers without arguments.
    let (id, task) = unsafe {
        (
            bpf_get_current_pid_tgid(),
            bpf_get_current_task_btf() as u64,
        )
    };
    let (tgid, tid) = ((id >> 32) as u32, id as u32);
    let _ = WAITS.remove(tid);
    let _ = CALLS.remove(tid);
    let signal: u64 = typed(task, kernel!(task_signal));
    let live: i32 = typed(signal, kernel!(signal_live));
    if live > 0 {
        return 0;
    }
    // SAFETY: copied at once.
    let process = unsafe { PROCESSES.get(tgid) }.copied().unwrap_or_default();
    let _ = PROCESSES.remove(tgid);
    let _ = IO_URING_CALLS.remove(tgid);
    if process.flags & PROCESS_SKIP == 0 {
        let exit = header(&Task { tgid, tid, process }, KIND_EXIT, size_of::<Header>());
        send((&raw const exit).cast(), size_of::<Header>() as u64);
    }
    0
}
