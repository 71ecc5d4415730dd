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
    /// `runc create --bundle DIRECTORY ID`, or `run`; the bundle is the working directory if none is named.
    Oci { bundle: String },
}

/// Names of OCI runtimes.
const RUNTIMES: [&[u8]; 4] = [b"runc", b"crun", b"youki", b"runsc"];

impl Hint {
    /// Reads the exec of a keeper or of an OCI runtime that makes a container; `None` for any other program. Whether the process
    /// can be believed is the caller's question.
    pub fn of_exec(image: &NewImage<'_>) -> Option<Self> {
        let comm = process::comm(image.task);
        // The kernel keeps 15 bytes of a name.
        let shim = comm.starts_with(b"containerd-shim");
        let runtime = RUNTIMES.contains(&comm);
        if !shim && !runtime && comm != b"conmon" {
            return None;
        }
        let arguments: Vec<String> = image
            .args
            .split(|b| *b == 0)
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect();
        let value = |names: &[&str]| argument(&arguments, names).filter(|v| !v.is_empty());
        let cwd = || String::from_utf8_lossy(image.cwd).into_owned();
        if runtime {
            // `args` ends with a NUL, so the last piece is empty.
            let words: Vec<&str> = arguments.iter().map(String::as_str).filter(|w| !w.is_empty()).collect();
            let (id, bundle) = made(words.get(1..)?)?;
            let bundle = match bundle {
                Some(bundle) if bundle.starts_with('/') => bundle.to_owned(),
                Some(bundle) => format!("{}/{bundle}", cwd().trim_end_matches('/')),
                None => cwd(),
            };
            return Some(Self { id: id.to_owned(), keeper: Keeper::Oci { bundle } });
        }
        if shim {
            let bundle = cwd();
            let keeper =
                Keeper::Shim { namespace: value(&["-namespace"])?, address: value(&["-address"]), bundle };
            return Some(Self { id: value(&["-id"])?, keeper });
        }
        let keeper = Keeper::Conmon { bundle: value(&["-b", "--bundle"]), name: value(&["-n", "--name"]) };
        Some(Self { id: value(&["-c", "--cid"])?, keeper })
    }
}

/// Id and bundle of the container that a runtime with these arguments makes; `None` for its other commands.
fn made<'a>(words: &[&'a str]) -> Option<(&'a str, Option<&'a str>)> {
    /// Options before the command that have no value.
    const FLAGS: [&str; 5] = ["--debug", "--systemd-cgroup", "--version", "-v", "-s"];
    let mut at = 0;
    while words.get(at)?.starts_with('-') {
        let alone = words[at].contains('=') || FLAGS.contains(&words[at]);
        at += if alone { 1 } else { 2 };
    }
    let (command, rest) = words.get(at..)?.split_first()?;
    if !matches!(*command, "create" | "run") {
        return None;
    }
    // The id is the last word.
    let (id, options) = rest.split_last().filter(|(id, _)| !id.starts_with('-'))?;
    let bundle = options.iter().enumerate().find_map(|(i, word)| match *word {
        "-b" | "--bundle" => options.get(i + 1).copied(),
        word => word.strip_prefix("--bundle="),
    });
    Some((*id, bundle))
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
    fn runtimes_tell_what_they_make() {
        for (comm, line, id, bundle) in [
            ("runc", "runc run -d web", "web", "/w"),
            (
                "runc",
                "runc --root /run/x --log=/l --systemd-cgroup create --bundle /b --pid-file /p web",
                "web",
                "/b",
            ),
            ("crun", "/usr/bin/crun --debug run -b sub web", "web", "/w/sub"),
            ("runsc", "runsc --root run create --bundle=/b web", "web", "/b"),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let keeper = Keeper::Oci { bundle: bundle.into() };
            assert_eq!(hint(comm, &words, "/w"), Some(Hint { id: id.into(), keeper }), "{line}");
        }
        for line in [
            "runc",
            "runc init",
            "runc --root",
            "runc run",
            "runc run --help",
            "runc exec web sh",
            "runc --root run list",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(hint("runc", &words, "/w"), None, "{line}");
        }
        assert_eq!(hint("other", &["runc", "run", "web"], "/w"), None);
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
