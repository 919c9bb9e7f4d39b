//! Go: the goroutine behind a system call, and probes in `net/http` and the runtime. All probes sit
//! on instructions the kernel emulates; registers are as the agent's site finder proved them.
//!
//! Uprobe programs can be preempted: nothing here touches per-CPU scratch memory.

use crate::{
    layout::kernel,
    maps::{GO_ANCESTORS, GO_BEGUN, GO_CALLERS, GO_LAYOUTS, GO_PCONNS, GoKey, count, send},
    memory::{typed, user},
    process::{Task, header, selected},
    socket,
};
use aya_ebpf::{
    helpers::generated::{bpf_get_current_task_btf, bpf_ktime_get_ns, bpf_probe_read_user},
    macros::uprobe,
    programs::ProbeContext,
};
use threadline_common::{
    counter::{ANCESTORS_MAP_FULL, BEGUN_MAP_FULL, CALLERS_MAP_FULL, GO_FAULT},
    map::{GoLayout, NO_TLS, PROCESS_GO, UNKNOWN, route_regs},
    record::{
        ANCESTORS, Ancestor, CTX_CHAIN, GoCall, GoConn, GoExit, GoRoute, GoServe, KIND_GO_CALL,
        KIND_GO_CONN, KIND_GO_EXIT, KIND_GO_ROUTE, KIND_GO_SERVE,
    },
};

/// Pattern bytes of a [`GoRoute`] at most.
const ROUTE_BYTES: usize = 128;

/// Zero-initialised variables lie behind `mm->end_data`; no program has more of them than this.
const BSS: u64 = 16 << 20;

#[inline(always)]
fn layout_of(task: &Task) -> Option<&'static GoLayout> {
    if task.process.flags & PROCESS_GO == 0 {
        return None;
    }
    GO_LAYOUTS.get(task.process.binary)
}

/// Word at `base + offset` of user memory, where the offset is known.
#[inline(always)]
fn field(base: u64, offset: i32) -> Option<u64> {
    if offset == UNKNOWN || base == 0 {
        return None;
    }
    user(base.wrapping_add(offset as i64 as u64))
}

/// Goroutine that makes the current system call, 0 where there is none (g0, no Go, not known).
#[inline(always)]
pub fn current_goid(task: &Task) -> u64 {
    let Some(layout) = layout_of(task) else {
        return 0;
    };
    if layout.tls_slot == UNKNOWN || layout.tls_slot == NO_TLS {
        return 0;
    }
    // SAFETY: helper without arguments.
    let current = unsafe { bpf_get_current_task_btf() } as u64;
    let fs_base: u64 = typed(current, kernel!(task_fsbase));
    let Some(g) = field(fs_base, layout.tls_slot) else {
        return 0;
    };
    match field(g, layout.g_goid) {
        // g0 and gsignal have no number: the user goroutine is the M's current one.
        Some(0) => field(g, layout.g_m)
            .and_then(|m| field(m, layout.m_curg))
            .and_then(|curg| field(curg, layout.g_goid))
            .unwrap_or(0),
        Some(goid) => goid,
        None => 0,
    }
}

#[inline(always)]
fn register_g(ctx: &ProbeContext) -> u64 {
    // SAFETY: the context's registers are readable.
    unsafe { (*ctx.regs).r14 }
}

/// `net/http.serverHandler.ServeHTTP`: rdi = *Request, r14 = g.
#[uprobe]
pub fn go_serve(ctx: ProbeContext) -> u32 {
    let Some(task) = selected() else { return 0 };
    let Some(layout) = layout_of(&task) else {
        return 0;
    };
    // SAFETY: the context's registers are readable.
    let request = unsafe { (*ctx.regs).rdi };
    let (Some(goid), Some(context)) = (
        field(register_g(&ctx), layout.g_goid),
        field(request.wrapping_add(8), layout.request_ctx),
    ) else {
        count(GO_FAULT);
        return 0;
    };
    let record = GoServe {
        header: header(&task, KIND_GO_SERVE, size_of::<GoServe>()),
        goid,
        ctx: context,
        ctx_parent: field(context, 8).unwrap_or(0),
    };
    send((&raw const record).cast(), size_of::<GoServe>() as u64);
    0
}

/// `net/http.(*persistConn).writeLoop`: rax = *persistConn, r14 = its writer goroutine.
#[uprobe]
pub fn go_conn(ctx: ProbeContext) -> u32 {
    let Some(task) = selected() else { return 0 };
    let Some(layout) = layout_of(&task) else {
        return 0;
    };
    let Some(goid) = field(register_g(&ctx), layout.g_goid) else {
        count(GO_FAULT);
        return 0;
    };
    // SAFETY: the context's registers are readable.
    let pconn = unsafe { (*ctx.regs).rax };
    let _ = GO_PCONNS.insert(key(&task, pconn), 1, 0);
    let record = GoConn {
        header: header(&task, KIND_GO_CONN, size_of::<GoConn>()),
        goid,
        pconn,
    };
    send((&raw const record).cast(), size_of::<GoConn>() as u64);
    0
}

/// `net/http.(*Transport).roundTrip`: r14 = the caller, who will wait for a connection, dial one,
/// or try twice.
#[uprobe]
pub fn go_begin(ctx: ProbeContext) -> u32 {
    let Some(task) = selected() else { return 0 };
    // SAFETY: helper without arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    if GO_BEGUN
        .insert(key(&task, register_g(&ctx)), now, 0)
        .is_err()
    {
        count(BEGUN_MAP_FULL);
    }
    0
}

/// `net/http.(*persistConn).roundTrip`: rax = *persistConn, rbx = *transportRequest (its first word
/// is *Request), r14 = the caller.
#[uprobe]
pub fn go_call(ctx: ProbeContext) -> u32 {
    let Some(task) = selected() else { return 0 };
    let Some(layout) = layout_of(&task) else {
        return 0;
    };
    // SAFETY: the context's registers are readable.
    let (pconn, request) = unsafe { ((*ctx.regs).rax, (*ctx.regs).rbx) };
    let g = register_g(&ctx);
    let Some(goid) = field(g, layout.g_goid) else {
        count(GO_FAULT);
        return 0;
    };
    let mut record = GoCall {
        header: header(&task, KIND_GO_CALL, size_of::<GoCall>()),
        goid,
        pconn,
        sock: 0,
        start_pc: field(g, layout.g_startpc).unwrap_or(0),
        ancestors: [Ancestor {
            goid: 0,
            created_ns: 0,
        }; ANCESTORS],
        ctx: [0; CTX_CHAIN],
        begin_ns: 0,
        ctx_whole: 0,
        pad: [0; 7],
    };
    // SAFETY: copied at once; only this goroutine replaces it.
    if let Some(begin_ns) = unsafe { GO_BEGUN.get(key(&task, g)) } {
        record.begin_ns = *begin_ns;
        let _ = GO_BEGUN.remove(key(&task, g));
    }
    // SAFETY: copied at once; the entry is only replaced when this g is created anew.
    match unsafe { GO_ANCESTORS.get(key(&task, g)) } {
        Some(known) => record.ancestors = *known,
        None => record.ancestors[0].goid = field(g, layout.g_parent_goid).unwrap_or(0),
    }
    // SAFETY: presence only.
    if unsafe { GO_PCONNS.get(key(&task, pconn)) }.is_none() {
        record.sock = pooled_socket(layout, pconn).unwrap_or(0);
    }
    read_chain(layout, request, &mut record);
    let [first, second, third] = record.ancestors;
    for goid in [goid, first.goid, second.goid, third.goid] {
        if goid != 0 && GO_CALLERS.insert(key(&task, goid), 1, 0).is_err() {
            count(CALLERS_MAP_FULL);
        }
    }
    send((&raw const record).cast(), size_of::<GoCall>() as u64);
    0
}

/// Follows `Request.ctx` to its root. In the standard library's context types the parent is the
/// first field: an interface whose data word lies 8 bytes on.
#[inline(always)]
fn read_chain(layout: &GoLayout, transport_request: u64, record: &mut GoCall) {
    let Some(request) = field(transport_request, 0) else {
        return;
    };
    let Some(mut context) = field(request.wrapping_add(8), layout.request_ctx) else {
        return;
    };
    // SAFETY: helper without arguments.
    let task = unsafe { bpf_get_current_task_btf() } as u64;
    let mm: u64 = typed(task, kernel!(task_mm));
    let start: u64 = typed(mm, kernel!(mm_start_code));
    let end = typed::<u64>(mm, kernel!(mm_end_data)) + BSS;
    for slot in 0..CTX_CHAIN {
        record.ctx[slot] = context;
        // The background context is a variable of the program, not on the heap (which Go puts at a
        // random place since 1.26): the chain ends there.
        if context == 0 || (start <= context && context < end) {
            record.ctx_whole = 1;
            return;
        }
        let Some(parent) = user::<u64>(context.wrapping_add(8)) else {
            return;
        };
        context = parent;
    }
}

/// The socket of a pooled connection that is older than the probes: persistConn.conn (through
/// tls.Conn.conn where there is TLS) -> net.TCPConn.fd -> netFD.pfd.Sysfd.
#[inline(always)]
fn pooled_socket(layout: &GoLayout, pconn: u64) -> Option<u64> {
    let mut conn = field(pconn.wrapping_add(8), layout.pconn_conn)?;
    if field(pconn, layout.pconn_tls_state)? != 0 {
        conn = field(conn, 8)?;
    }
    let net_fd = field(conn, 0)?;
    if layout.netfd_sysfd == UNKNOWN {
        return None;
    }
    let fd: i64 = user(net_fd.wrapping_add(layout.netfd_sysfd as i64 as u64))?;
    Some(socket::of_descriptor(fd as u32)?.sock)
}

/// `runtime.newproc1`, second call of casgstatus: rax = the new g; r14 = g0 of the creator.
#[uprobe]
pub fn go_create(ctx: ProbeContext) -> u32 {
    let Some(task) = selected() else { return 0 };
    let Some(layout) = layout_of(&task) else {
        return 0;
    };
    // SAFETY: the context's registers are readable.
    let created = unsafe { (*ctx.regs).rax };
    let parent = field(register_g(&ctx), layout.g_m).and_then(|m| field(m, layout.m_curg));
    let mut ancestors = [Ancestor {
        goid: 0,
        created_ns: 0,
    }; ANCESTORS];
    if let Some(parent) = parent
        && parent != 0
    {
        ancestors[0] = Ancestor {
            goid: field(parent, layout.g_goid).unwrap_or(0),
            // SAFETY: helper without arguments.
            created_ns: unsafe { bpf_ktime_get_ns() },
        };
        // SAFETY: copied at once.
        if let Some(older) = unsafe { GO_ANCESTORS.get(key(&task, parent)) } {
            ancestors[1] = older[0];
            ancestors[2] = older[1];
        }
    }
    if GO_ANCESTORS
        .insert(key(&task, created), ancestors, 0)
        .is_err()
    {
        count(ANCESTORS_MAP_FULL);
    }
    0
}

/// `ServeMux` found its match: rcx, rdi = pattern text.
#[uprobe]
pub fn go_route(ctx: ProbeContext) -> u32 {
    let Some(task) = selected() else { return 0 };
    let Some(layout) = layout_of(&task) else {
        return 0;
    };
    if layout.route_regs == route_regs::RCX_RDI {
        // SAFETY: the context's registers are readable.
        let (text, len) = unsafe { ((*ctx.regs).rcx, (*ctx.regs).rdi) };
        route(&task, layout, register_g(&ctx), text, len);
    }
    0
}

/// The same where the pattern lies on the stack.
#[uprobe]
pub fn go_route_stack(ctx: ProbeContext) -> u32 {
    let Some(task) = selected() else { return 0 };
    let Some(layout) = layout_of(&task) else {
        return 0;
    };
    // SAFETY: the context's registers are readable.
    let sp = unsafe { (*ctx.regs).rsp };
    if let (Some(text), Some(len)) = (
        field(sp, layout.route_stack),
        field(sp.wrapping_add(8), layout.route_stack),
    ) {
        route(&task, layout, register_g(&ctx), text, len);
    }
    0
}

#[inline(always)]
fn route(task: &Task, layout: &GoLayout, g: u64, text: u64, full_len: u64) {
    #[repr(C)]
    struct Record {
        head: GoRoute,
        text: [u8; ROUTE_BYTES],
    }
    if full_len == 0 || full_len > 4096 {
        return;
    }
    let Some(goid) = field(g, layout.g_goid) else {
        count(GO_FAULT);
        return;
    };
    let len = full_len.min(ROUTE_BYTES as u64);
    let mut record = Record {
        head: GoRoute {
            header: header(task, KIND_GO_ROUTE, size_of::<Record>()),
            goid,
            len: len as u32,
            full_len: full_len as u32,
        },
        text: [0; ROUTE_BYTES],
    };
    // SAFETY: the helper checks the source; at most ROUTE_BYTES go to our stack.
    let failed = unsafe {
        bpf_probe_read_user(
            record.text.as_mut_ptr().cast(),
            len as u32,
            text as *const _,
        )
    };
    if failed != 0 {
        count(GO_FAULT);
        return;
    }
    send((&raw const record).cast(), size_of::<Record>() as u64);
}

/// `runtime.goexit1`: r14 = the goroutine that ends.
#[uprobe]
pub fn go_exit(ctx: ProbeContext) -> u32 {
    let Some(task) = selected() else { return 0 };
    let Some(layout) = layout_of(&task) else {
        return 0;
    };
    let Some(goid) = field(register_g(&ctx), layout.g_goid) else {
        count(GO_FAULT);
        return 0;
    };
    if GO_CALLERS.remove(key(&task, goid)).is_ok() {
        let record = GoExit {
            header: header(&task, KIND_GO_EXIT, size_of::<GoExit>()),
            goid,
        };
        send((&raw const record).cast(), size_of::<GoExit>() as u64);
    }
    0
}

#[inline(always)]
fn key(task: &Task, address: u64) -> GoKey {
    GoKey {
        address,
        tgid: u64::from(task.tgid),
    }
}
