//! Rule files from disk, in Falco's order: a file as it is, of a directory the `.yaml` and `.yml` files, sorted by path.
//! Test cases (`*.cases.yaml`) may lie beside the rules: in a directory they are passed over.
//!
//! What somebody names in a command must be there ([`read`]). What a configuration names ([`configured`]) may be missing, as
//! in Falco: packages name files that only some machines have. A file that is there and cannot be read is an error either
//! way.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::rules::report::source::Source;

/// Largest rule file that is read; Falco's largest is 95 kB.
const MAX: u64 = 16 << 20;

/// A rule file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("cannot read the rules file {}: {cause}", .path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error("the rules file {} is larger than {} MiB", .path.display(), MAX >> 20)]
    Large { path: PathBuf },
    #[error("the rules file {} is no regular file", .path.display())]
    Special { path: PathBuf },
    #[error("no rules file in {}: give a .yaml file, or a directory with some", .0)]
    None(String),
    /// In Falco's words, but for the name of the file.
    #[error(
        "You must specify at least one rules file/directory via -r or a rules_files entry in the configuration \
         (there is no .yaml or .yml file in {0})"
    )]
    Nothing(String),
}

/// Reads `paths` in order. At least one file must be found.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Source>, FilesError> {
    let mut sources = Vec::new();
    for path in paths {
        for file in expand(path)? {
            sources.push(source(&file)?);
        }
    }
    if sources.is_empty() { Err(FilesError::None(list(paths))) } else { Ok(sources) }
}

/// Reads what a configuration names, in order: what is missing, and files with another ending, are passed over. A file that
/// cannot be read becomes a [`Source`] whose loading fails.
pub fn configured(paths: &[PathBuf]) -> Result<Vec<Source>, FilesError> {
    let mut sources = Vec::new();
    for path in paths {
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::info!("there is no rules file {}", path.display());
                continue;
            }
            Ok(found) if !found.is_dir() && !has_ending(path) => {
                tracing::info!("{} is not read: its name does not end in .yaml or .yml", path.display());
                continue;
            }
            _ => {}
        }
        let unread =
            |path: &Path, error: &FilesError| Source::unread(path.display().to_string(), error.to_string());
        match expand(path) {
            Ok(files) => sources
                .extend(files.iter().map(|file| source(file).unwrap_or_else(|error| unread(file, &error)))),
            Err(error) => sources.push(unread(path, &error)),
        }
    }
    if sources.is_empty() { Err(FilesError::Nothing(list(paths))) } else { Ok(sources) }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The files that `path` stands for.
pub fn expand(path: &Path) -> Result<Vec<PathBuf>, FilesError> {
    let fail = |cause| FilesError::Read { path: path.to_owned(), cause };
    if !fs::metadata(path).map_err(fail)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(fail)? {
        let file = entry.map_err(fail)?.path();
        if is_rules(&file) && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// True for the name of a file that is read when it is in a directory of rules.
pub fn is_rules(path: &Path) -> bool {
    has_ending(path) && !is_cases(path)
}

fn has_ending(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml")
}

/// True for the name of a file of test cases.
pub fn is_cases(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.ends_with(b".cases.yaml") || name.ends_with(b".cases.yml")
}

/// Reads one file.
pub fn source(path: &Path) -> Result<Source, FilesError> {
    let fail = |cause| FilesError::Read { path: path.to_owned(), cause };
    // Opening a pipe would wait for its other end.
    if !fs::metadata(path).map_err(fail)?.is_file() {
        return Err(FilesError::Special { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    fs::File::open(path).and_then(|file| file.take(MAX + 1).read_to_end(&mut bytes)).map_err(fail)?;
    if bytes.len() as u64 > MAX {
        return Err(FilesError::Large { path: path.to_owned() });
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..at].split(|byte| *byte == b'\n').skip(1).count();
        fail(io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is not UTF-8")))
    })?;
    Ok(Source::new(path.display().to_string(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_give_their_yaml_files_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("b.yaml", "b"), ("a.yml", "a"), ("c.txt", "c"), ("a.cases.yaml", "d")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        fs::create_dir(dir.path().join("sub.yaml")).unwrap();
        let single = dir.path().join("c.txt");
        let texts: Vec<String> =
            read(&[dir.path().to_owned(), single]).unwrap().into_iter().map(|s| s.text).collect();
        assert_eq!(texts, ["a", "b", "c"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = read(&[dir.path().join("none.yaml")]).unwrap_err().to_string();
        assert!(error.contains("none.yaml"), "{error}");
        let error = read(&[dir.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains("no rules file"), "{error}");
    }

    #[test]
    fn a_configuration_may_name_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in
            ["a.yaml", "b.txt", "rules.d/2.yml", "rules.d/1.yaml", "rules.d/3.txt", "rules.d/sub/4.yaml"]
        {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), name).unwrap();
        }
        let texts = |paths: &[PathBuf]| -> Vec<String> {
            configured(paths).unwrap().into_iter().map(|source| source.text).collect()
        };
        let paths = [path("a.yaml"), path("a.local.yaml"), path("b.txt"), path("rules.d")];
        assert_eq!(texts(&paths), ["a.yaml", "rules.d/1.yaml", "rules.d/2.yml"]);
        let error = configured(&paths[1..3]).unwrap_err().to_string();
        assert!(error.starts_with("You must specify at least one rules file/directory via -r"), "{error}");
        assert!(error.contains("a.local.yaml, ") && error.contains("b.txt"), "{error}");
    }

    #[test]
    fn what_cannot_be_read_fails_to_load_in_its_turn() {
        use super::super::options::Options;
        use crate::rules::load;

        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(
            path("a.yaml"),
            "- {rule: r, desc: d, output: o, priority: INFO, condition: evt.type=open}\n",
        )
        .unwrap();
        fs::write(path("b.yaml"), b"- list: l\n  items: [\xff]\n").unwrap();
        fs::write(path("c.yaml"), "- nonsense\n").unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path("d.yaml"), rustix::fs::Mode::RUSR).unwrap();
        fs::File::create(path("e.yaml")).unwrap().set_len(MAX + 1).unwrap();
        for (name, says) in
            [("b.yaml", "line 2 is not UTF-8"), ("d.yaml", "no regular file"), ("e.yaml", "16 MiB")]
        {
            let sources = configured(&[path("a.yaml"), path(name), path("c.yaml")]).unwrap();
            let loaded = load(&sources, &Options::default());
            assert!(loaded.rules.is_none());
            assert_eq!(loaded.files.len(), 2, "what stands behind is not read");
            let error = &loaded.files[1].errors[0];
            assert_eq!(error.code.as_str(), "LOAD_ERR_FILE_READ");
            assert!(error.message.contains(says), "{error}");
            assert_eq!(loaded.files[1].schema.as_str(), "none");
            let json = loaded.files[1].json();
            assert_eq!(json["errors"][0]["context"]["locations"][0]["item_type"], "rules content");
        }
    }
}
