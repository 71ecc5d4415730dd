//! The life of a cgroup: `cgroup_mkdir` and `cgroup_rmdir`. They name the container of every later record.

use super::{Change, Info, Lane};
use crate::record;
use crate::record::{Pod as _, Tail};

record! {
    /// A cgroup of the chosen hierarchy was made or removed.
    pub struct Cgroup {
        /// kernfs id, as in `Header::cgroup`.
        pub id: u64,
        /// `cgrp->root->hierarchy_id`; the unified hierarchy is 0 or the first one mounted.
        pub hierarchy: u32,
        /// Path from the hierarchy's root, as in `/proc/PID/cgroup`.
        pub path: Tail,
    }
}

/// `cgroup_mkdir`.
pub struct CgroupMkdir;
/// `cgroup_rmdir`.
pub struct CgroupRmdir;

impl CgroupMkdir {
    pub const EVENT: Info = Info {
        layout: Cgroup::LAYOUT,
        lane: Lane::Lifecycle,
        changes: Some(|r| r.body().map(Change::CgroupMade)),
        rules: None,
    };
}

impl CgroupRmdir {
    pub const EVENT: Info =
        Info { changes: Some(|r| r.body().map(Change::CgroupRemoved)), ..CgroupMkdir::EVENT };
}

#[cfg(target_arch = "bpf")]
mod handlers {
    use aya_ebpf::programs::BtfTracePointContext;

    use super::Cgroup;
    use crate::events::Kind;
    use crate::kernel::Writer;
    use crate::kernel::read::{self, Ptr};
    use crate::{config, off};

    /// Both tracepoints give `(cgrp, path)`.
    #[inline(always)]
    fn record(ctx: &BtfTracePointContext, kind: Kind) {
        let cgroup = ctx.arg::<u64>(0) as Ptr;
        let path = ctx.arg::<u64>(1) as Ptr;
        let hierarchy: u32 =
            read::kernel(read::pointer(cgroup, off!(cgroup_root)), off!(cgroup_root_hierarchy_id));
        if hierarchy != config!(cgroup_hierarchy) {
            return;
        }
        let Some(mut w) = Writer::new::<Cgroup>(kind) else { return };
        let body = w.body::<Cgroup>();
        body.id = read::kernel(read::pointer(cgroup, off!(cgroup_kn)), off!(kernfs_node_id));
        body.hierarchy = hierarchy;
        body.path = w.kernel_str(path);
        w.submit(kind);
    }

    #[inline(always)]
    pub fn cgroup_mkdir(ctx: &BtfTracePointContext) {
        record(ctx, Kind::CgroupMkdir);
    }

    #[inline(always)]
    pub fn cgroup_rmdir(ctx: &BtfTracePointContext) {
        record(ctx, Kind::CgroupRmdir);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{cgroup_mkdir, cgroup_rmdir};
