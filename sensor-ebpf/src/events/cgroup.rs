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
        changes: Some(|r| {
            r.body().map(|b: &Cgroup| Change::CgroupMade { id: b.id, path: without_nul(r.tail(b.path)) })
        }),
        rules: None,
    };
}

impl CgroupRmdir {
    pub const EVENT: Info = Info {
        changes: Some(|r| r.body().map(|b: &Cgroup| Change::CgroupRemoved { id: b.id })),
        ..CgroupMkdir::EVENT
    };
}

fn without_nul(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"\0").unwrap_or(path)
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

#[cfg(feature = "testing")]
mod scenarios {
    use std::fs;
    use std::string::String;

    use super::{CgroupMkdir, CgroupRmdir};
    use crate::events::Change;
    use crate::syscall;
    use crate::testing::{Scenario, Stage, c};

    impl CgroupMkdir {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "a cgroup is made", play: made }];
    }

    impl CgroupRmdir {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "a cgroup is removed", play: removed }];
    }

    /// A path in the unified hierarchy, where one can be made.
    fn place(stage: &mut dyn Stage, name: &str) -> Option<String> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mount = mounts.lines().find_map(|line| {
            let mut columns = line.split(' ').skip(1);
            let place = columns.next()?;
            (columns.next()? == "cgroup2").then_some(place)
        });
        let Some(mount) = mount else {
            stage.skip("no unified cgroup hierarchy is mounted");
            return None;
        };
        let path = std::format!("{mount}/falconet-{name}-{}", std::process::id());
        if let Err(error) = fs::create_dir(&path).and_then(|()| fs::remove_dir(&path)) {
            stage.skip(&std::format!("{path}: {error}"));
            return None;
        }
        Some(path)
    }

    fn made(stage: &mut dyn Stage) {
        use std::os::unix::fs::MetadataExt as _;
        let Some(path) = place(stage, "made") else { return };
        let name = c(&path);
        let seen = stage.observe(&|| {
            syscall!(SYS_mkdir, name.as_ptr(), 0o755);
        });
        let seen = seen.iter().find(|seen| seen.event == "cgroup_mkdir").expect("a change of the cgroups");
        let id = fs::metadata(&path).unwrap().ino();
        fs::remove_dir(&path).unwrap();
        seen.is("cgroup_mkdir", &[]).lacks(&["evt.type"]).changes(|change, _| {
            let Change::CgroupMade { id: seen, path: place } = change else { panic!("{change:?}") };
            assert_eq!(seen, id);
            let seen = String::from_utf8_lossy(place);
            assert!(!seen.is_empty() && path.ends_with(&*seen), "{seen} of {path}");
        });
    }

    fn removed(stage: &mut dyn Stage) {
        use std::os::unix::fs::MetadataExt as _;
        let Some(path) = place(stage, "removed") else { return };
        fs::create_dir(&path).unwrap();
        let (id, name) = (fs::metadata(&path).unwrap().ino(), c(&path));
        let seen = stage.observe(&|| {
            syscall!(SYS_rmdir, name.as_ptr());
        });
        let seen = seen.iter().find(|seen| seen.event == "cgroup_rmdir").expect("a change of the cgroups");
        seen.is("cgroup_rmdir", &[]).changes(|change, _| {
            let Change::CgroupRemoved { id: seen } = change else { panic!("{change:?}") };
            assert_eq!(seen, id);
        });
    }
}
