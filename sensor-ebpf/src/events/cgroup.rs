//! The life of a cgroup: `cgroup_mkdir` and `cgroup_rmdir`. They name the container of every later record.

use crate::record;
use crate::record::Tail;

record! {
    /// A cgroup was made or removed.
    pub struct Cgroup {
        /// kernfs id, as in `Header::cgroup`.
        pub id: u64,
        /// `cgrp->root->hierarchy_id`; 0 is the unified hierarchy.
        pub hierarchy: u32,
        /// Path from the hierarchy's root, as in `/proc/PID/cgroup`.
        pub path: Tail,
    }
}
