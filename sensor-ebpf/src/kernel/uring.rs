//! Requests of io_uring, which do what system calls do without being any.
//!
//! What a request asks for is taken when the kernel has read it ([`submit`]), from the kernel's own copies, and kept until its
//! result is known ([`complete`]); then the handler of the system call makes the record. The kernel's workers and its polling
//! thread are threads of the process that owns the ring, so the current task has its ids, files and directories.
//!
//! No result comes when the caller waived it for success (`IOSQE_CQE_SKIP_SUCCESS`: a failure would have one), when another
//! request of the ring is under way with the same `user_data`, and when more requests are under way than there is room for.
//! Such a request is taken for done as it is submitted, and its record says so ([`CUT_RESULT`]).

use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST};
use aya_ebpf::helpers::generated::{
    bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_probe_read_kernel_str,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};
use aya_ebpf::programs::BtfTracePointContext;

use super::call::{Exit, Memory};
use super::read::{self, Ptr, typed};
use super::writer;
use crate::abi::{OPCODES, op};
use crate::config::PATH_MAX;
use crate::off;
use crate::record::CUT_RESULT;

/// Requests that can be under way; of more the result is assumed.
const REQUESTS_MAX: u32 = 1024;
/// `REQ_F_FIXED_FILE`: what looks like a descriptor is an index into files that the ring holds.
const FIXED_FILE: u32 = 1;
/// `REQ_F_CQE_SKIP`.
const CQE_SKIP: u32 = 1 << 6;
/// The kernel adds it to the flags of an open, and a call that does the same does not have it.
const O_LARGEFILE: u64 = 0o100_000;

/// What a request asked for.
#[repr(C)]
struct Request {
    /// Arguments of the system call that does the same. The places of what stands in `texts` are empty.
    args: [u64; 6],
    /// Paths ended by NUL, or a structure.
    texts: [[u8; PATH_MAX]; 2],
    ret: i64,
    /// 1 when the result is no descriptor of the process: it goes into the ring's own table.
    hidden: u32,
    /// The event that it is.
    kind: u32,
}

/// What finds a request again.
#[repr(C)]
#[derive(Clone, Copy)]
struct Key {
    ring: u64,
    user_data: u64,
}

/// By opcode: the event that an operation is; 0 = not watched.
#[map]
static OPERATIONS: Array<[u8; OPCODES]> = Array::with_max_entries(1, 0);
#[map]
static REQUESTS: HashMap<Key, Request> = HashMap::with_max_entries(REQUESTS_MAX, BPF_F_NO_PREALLOC);
/// The one that this CPU works on.
#[map]
static REQUEST: PerCpuArray<Request> = PerCpuArray::with_max_entries(1, 0);

impl Exit {
    /// The request that this CPU works on, as the call that does the same: `texts` are the places of its texts among the
    /// arguments.
    #[inline(always)]
    pub fn of_request<const N: usize>(texts: [usize; N]) -> Option<Self> {
        let request = REQUEST.get_ptr(0)?;
        // SAFETY: this CPU's map value, which no other program writes meanwhile.
        let (mut args, ret, hidden) = unsafe { ((*request).args, (*request).ret, (*request).hidden != 0) };
        for (text, place) in texts.into_iter().enumerate() {
            // SAFETY: as above; an address is taken, nothing is read.
            args[place] = unsafe { (&raw const (*request).texts[text]) } as u64;
        }
        Some(Self {
            args,
            ret,
            fd: if hidden { -1 } else { ret as i32 },
            // SAFETY: the helper has no preconditions.
            task: unsafe { bpf_get_current_task_btf() } as Ptr,
            nr: 0,
            compat: false,
            memory: Memory::Kernel,
        })
    }
}

/// Body of the program on `io_uring_submit_req`: `(struct io_kiocb *)`, read and not started yet.
#[inline(always)]
pub fn submit(ctx: &BtfTracePointContext, handle: impl FnOnce(u32)) {
    let req = ctx.arg::<u64>(0) as Ptr;
    // SAFETY: the tracepoint's argument, which the verifier knows by type.
    let (opcode, flags): (u8, u32) =
        unsafe { (typed(req, off!(uring_opcode)), typed(req, off!(uring_flags))) };
    let kind = kind_of(opcode);
    if kind == 0 {
        return;
    }
    let Some(request) = REQUEST.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's map value, which no other program writes meanwhile.
    let request = unsafe { &mut *request };
    request.kind = kind;
    gather(opcode, req, flags, request);
    if flags & CQE_SKIP == 0 && REQUESTS.insert(key_of(req), &*request, BPF_NOEXIST.into()).is_ok() {
        return;
    }
    request.ret = 0;
    request.hidden = 1;
    writer::mark(CUT_RESULT);
    handle(kind);
    writer::mark(0);
}

/// Body of the program on `io_uring_complete`: `(struct io_ring_ctx *, struct io_kiocb *, ...)`. What stands in the ring is the
/// caller's to change; the request has it, too.
#[inline(always)]
pub fn complete(ctx: &BtfTracePointContext, handle: impl FnOnce(u32)) {
    let req = ctx.arg::<u64>(1) as Ptr;
    if kind_of(read::kernel(req, off!(uring_opcode))) != 0 {
        finish(key_of(req), read::kernel(req, off!(uring_cqe_res)), handle);
    }
}

/// Body of the program on `io_uring_cqe_overflow`: `(struct io_ring_ctx *, u64 user_data, s32 res, ...)`, when the ring has no
/// room for a result.
#[inline(always)]
pub fn overflow(ctx: &BtfTracePointContext, handle: impl FnOnce(u32)) {
    finish(Key { ring: ctx.arg(0), user_data: ctx.arg(1) }, ctx.arg(2), handle);
}

/// Hands a request with its result to its handler.
#[inline(always)]
fn finish(key: Key, res: i32, handle: impl FnOnce(u32)) {
    let (Some(kept), Some(request)) = (REQUESTS.get_ptr(key), REQUEST.get_ptr_mut(0)) else { return };
    // SAFETY: both are map values of this size; who removes the entry goes on, alone.
    unsafe { bpf_probe_read_kernel(request.cast(), size_of::<Request>() as u32, kept.cast()) };
    if REQUESTS.remove(key).is_err() {
        return;
    }
    // SAFETY: this CPU's map value.
    let kind = unsafe {
        (*request).ret = res.into();
        (*request).kind
    };
    handle(kind);
}

#[inline(always)]
fn kind_of(opcode: u8) -> u32 {
    let Some(table) = OPERATIONS.get_ptr(0) else { return 0 };
    if opcode as usize >= OPCODES {
        return 0;
    }
    // SAFETY: the opcode is below the table's length.
    unsafe { table.cast::<u8>().add(writer::opaque(opcode as usize) & (OPCODES - 1)).read_volatile() }.into()
}

#[inline(always)]
fn key_of(req: Ptr) -> Key {
    Key { ring: read::kernel(req, off!(uring_ring)), user_data: read::kernel(req, off!(uring_cqe_user_data)) }
}

/// Takes what `req` asks for. Members as in the operation's own structure, which lies at the start of the request.
#[inline(always)]
fn gather(opcode: u8, req: Ptr, flags: u32, out: &mut Request) {
    let int = |at: usize| i64::from(read::kernel::<i32>(req, at)) as u64;
    let args = &mut out.args;
    *args = [0; 6];
    out.hidden = 0;
    let [first, second] = &mut out.texts;
    match opcode {
        op::OPENAT | op::OPENAT2 => {
            let how = off!(uring_open_how);
            args[0] = int(off!(uring_open_dfd));
            args[2] = read::kernel::<u64>(req, how) & !O_LARGEFILE;
            args[3] = read::kernel::<u64>(req, how + 8);
            path(first, req, off!(uring_open_filename));
            // `struct open_how`: flags, mode, resolve.
            copy(second, req.wrapping_add(how), 24);
            second[1] &= !(O_LARGEFILE >> 8) as u8;
            out.hidden = u32::from(int(off!(uring_open_slot)) != 0);
        }
        op::UNLINKAT => {
            args[0] = int(off!(uring_unlink_dfd));
            args[2] = int(off!(uring_unlink_flags));
            path(first, req, off!(uring_unlink_filename));
        }
        op::RENAMEAT => {
            args[0] = int(off!(uring_rename_old_dfd));
            args[2] = int(off!(uring_rename_new_dfd));
            args[4] = int(off!(uring_rename_flags));
            path(first, req, off!(uring_rename_oldpath));
            path(second, req, off!(uring_rename_newpath));
        }
        op::LINKAT => {
            args[0] = int(off!(uring_link_old_dfd));
            args[2] = int(off!(uring_link_new_dfd));
            args[4] = int(off!(uring_link_flags));
            path(first, req, off!(uring_link_oldpath));
            path(second, req, off!(uring_link_newpath));
        }
        op::SYMLINKAT => {
            args[1] = int(off!(uring_link_new_dfd));
            path(first, req, off!(uring_link_oldpath));
            path(second, req, off!(uring_link_newpath));
        }
        op::MKDIRAT => {
            args[0] = int(off!(uring_mkdir_dfd));
            args[2] = read::kernel::<u16>(req, off!(uring_mkdir_mode)).into();
            path(first, req, off!(uring_mkdir_filename));
        }
        op::SOCKET => {
            args[0] = int(off!(uring_socket_domain));
            args[1] = int(off!(uring_socket_type));
            args[2] = int(off!(uring_socket_protocol));
            out.hidden = u32::from(int(off!(uring_socket_slot)) != 0);
        }
        op::CONNECT => {
            args[0] = if flags & FIXED_FILE != 0 { u64::MAX } else { int(off!(uring_cqe_fd)) };
            args[2] = int(off!(uring_connect_len));
            copy(first, read::pointer(req, off!(uring_async_data)).wrapping_add(off!(uring_address)), 128);
        }
        _ => {}
    }
}

/// The name in the `struct filename *` at `at` of `req`: what the kernel goes by.
#[inline(always)]
fn path(out: &mut [u8; PATH_MAX], req: Ptr, at: usize) {
    let name = read::pointer(read::pointer(req, at), off!(filename_name));
    out[0] = 0;
    // SAFETY: `out` has this length.
    unsafe { bpf_probe_read_kernel_str(out.as_mut_ptr().cast(), PATH_MAX as u32, name.cast()) };
}

/// `len` bytes at `from`.
#[inline(always)]
fn copy(out: &mut [u8; PATH_MAX], from: Ptr, len: u32) {
    // SAFETY: no caller asks for more than `out` has.
    unsafe { bpf_probe_read_kernel(out.as_mut_ptr().cast(), len, from.cast()) };
}
