//! What the start of a container's keeper tells: containerd's shim and conmon are run with the container's id and place on
//! their command line, before the container's cgroup is made. Nothing has to be looked for then, and a container that lives for a
//! moment only is known in time.

use sensor_ebpf::events::{NewImage, process};

/// Where a container is described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hint {
    /// Full id of the container.
    pub id: String,
    pub keeper: Keeper,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Keeper {
    /// `containerd-shim-* -namespace NAMESPACE -address SOCKET -id ID start`, run in the container's bundle.
    Shim { namespace: String, address: Option<String>, bundle: String },
    /// `conmon --cid ID --bundle DIRECTORY --name NAME`.
    Conmon { bundle: Option<String>, name: Option<String> },
}

impl Hint {
    /// Reads the exec of a keeper; `None` for any other program. Whether the process can be believed is the caller's question.
    pub fn of_exec(image: &NewImage<'_>) -> Option<Self> {
        let comm = process::comm(image.task);
        // The kernel keeps 15 bytes of a name.
        let shim = comm.starts_with(b"containerd-shim");
        if !shim && comm != b"conmon" {
            return None;
        }
        let arguments: Vec<String> = image
            .args
            .split(|b| *b == 0)
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect();
        let value = |names: &[&str]| argument(&arguments, names).filter(|v| !v.is_empty());
        if shim {
            let bundle = String::from_utf8_lossy(image.cwd).into_owned();
            let keeper =
                Keeper::Shim { namespace: value(&["-namespace"])?, address: value(&["-address"]), bundle };
            return Some(Self { id: value(&["-id"])?, keeper });
        }
        let keeper = Keeper::Conmon { bundle: value(&["-b", "--bundle"]), name: value(&["-n", "--name"]) };
        Some(Self { id: value(&["-c", "--cid"])?, keeper })
    }
}

/// The argument that follows one of `names`.
pub(super) fn argument(arguments: &[String], names: &[&str]) -> Option<String> {
    let at = arguments.iter().position(|a| names.contains(&a.as_str()))?;
    arguments.get(at + 1).cloned()
}

#[cfg(test)]
mod tests {
    use sensor_ebpf::record::{Exe, Task};
    use zerocopy::FromZeros as _;

    use super::*;

    /// What an exec with these words in this working directory announces.
    fn hint(comm: &str, arguments: &[&str], cwd: &str) -> Option<Hint> {
        let args: Vec<u8> = arguments.iter().flat_map(|a| a.bytes().chain([0])).collect();
        let mut task = Task::new_zeroed();
        task.comm[..comm.len()].copy_from_slice(comm.as_bytes());
        let (exe, cwd) = (Exe::new_zeroed(), cwd.as_bytes());
        Hint::of_exec(&NewImage {
            task: &task,
            exe: &exe,
            exepath: b"",
            filename: b"",
            args: &args,
            env: b"",
            cwd,
        })
    }

    #[test]
    fn keepers_tell_and_others_do_not() {
        let words = [
            "/usr/bin/containerd-shim-runc-v2",
            "-namespace",
            "k8s.io",
            "-address",
            "/run/c.sock",
            "-id",
            "abc",
            "start",
        ];
        let shim = hint("containerd-shim", &words, "/run/containerd/x/abc");
        let keeper = Keeper::Shim {
            namespace: "k8s.io".into(),
            address: Some("/run/c.sock".into()),
            bundle: "/run/containerd/x/abc".into(),
        };
        assert_eq!(shim, Some(Hint { id: "abc".into(), keeper }));
        let conmon = hint("conmon", &["conmon", "-c", "abc", "-b", "/b", "-n", "web"], "/");
        let keeper = Keeper::Conmon { bundle: Some("/b".into()), name: Some("web".into()) };
        assert_eq!(conmon, Some(Hint { id: "abc".into(), keeper }));
        assert_eq!(hint("sh", &words, "/"), None);
        assert_eq!(hint("containerd-shim", &["x", "-id"], "/"), None);
    }
}
