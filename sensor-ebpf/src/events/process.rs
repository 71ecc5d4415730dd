//! The life of a process: `sched_process_fork`, `sched_process_exec` (rules see it as `execve`), `sched_process_exit`.

use crate::record;
use crate::record::{Exe, Tail, Task};

record! {
    /// A process was made; the header describes the child. Threads make no record.
    pub struct Fork {
        pub task: Task,
    }
}

record! {
    /// A process has a new image; its arguments can be trusted, they were read from the new `mm`.
    pub struct Exec {
        pub task: Task,
        pub exe: Exe,
        /// Path of the executable, from the process's root.
        pub exepath: Tail,
        /// `linux_binprm->filename`: what the caller asked for.
        pub filename: Tail,
        /// `argv`, each string ended by NUL.
        pub args: Tail,
        /// `envp`, each string ended by NUL; cut at `ENV_MAX`.
        pub env: Tail,
        /// Working directory, from the process's root.
        pub cwd: Tail,
        pub reserved: u32,
    }
}

record! {
    /// The last thread of a process ended.
    pub struct Exit {
        /// `wait(2)` status.
        pub status: i32,
        /// `tgid` of the process that inherits the children, 0 when unknown.
        pub reaper: u32,
    }
}
