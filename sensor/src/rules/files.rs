//! Rule files from disk, in Falco's order: a file as it is, of a directory the `.yaml` and `.yml` files, sorted by path.
//! Test cases (`*.cases.yaml`) may lie beside the rules: in a directory they are passed over.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::load::Source;

/// Largest rule file that is read; Falco's largest is 95 kB.
const MAX: u64 = 16 << 20;

/// A rule file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("cannot read the rules file {}: {source}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the rules file {} is larger than {} MiB", .path.display(), MAX >> 20)]
    Large { path: PathBuf },
    #[error("no rules file in {}: give a .yaml file, or a directory with some", .0)]
    None(String),
}

/// Reads `paths` in order. At least one file must be found.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Source>, FilesError> {
    let mut sources = Vec::new();
    for path in paths {
        for file in expand(path)? {
            sources.push(source(&file)?);
        }
    }
    if sources.is_empty() {
        let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        return Err(FilesError::None(paths.join(", ")));
    }
    Ok(sources)
}

/// The files that `path` stands for.
pub fn expand(path: &Path) -> Result<Vec<PathBuf>, FilesError> {
    let fail = |source| FilesError::Read { path: path.to_owned(), source };
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
    path.extension().is_some_and(|e| e == "yaml" || e == "yml") && !is_cases(path)
}

/// True for the name of a file of test cases.
pub fn is_cases(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.ends_with(b".cases.yaml") || name.ends_with(b".cases.yml")
}

/// Reads one file.
pub fn source(path: &Path) -> Result<Source, FilesError> {
    let fail = |source| FilesError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(fail)?.len() > MAX {
        return Err(FilesError::Large { path: path.to_owned() });
    }
    Ok(Source::new(path.display().to_string(), fs::read_to_string(path).map_err(fail)?))
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
}
