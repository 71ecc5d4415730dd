//! What the embedded BPF object consists of: the list that `doctor` and `version` print.

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

/// Bytes of one BPF instruction.
const INSTRUCTION: u64 = 8;

/// The programs of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// In the order of their names.
    pub programs: Vec<Program>,
    /// Functions that programs call; the kernel gets them with each of these.
    pub functions: Vec<Program>,
    /// What the object says to the kernel, which keeps some helpers for the GPL.
    pub license: String,
}

/// A program, or a function of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub name: String,
    pub instructions: u64,
}

/// Why the list cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the embedded eBPF object cannot be read: {0}")]
pub struct ObjectError(object::Error);

impl From<object::Error> for ObjectError {
    fn from(cause: object::Error) -> Self {
        Self(cause)
    }
}

impl Contents {
    /// Of the object in this binary; `None` when it was built without.
    pub fn embedded() -> Option<Result<Self, ObjectError>> {
        (!super::OBJECT.is_empty()).then(|| Self::of(super::OBJECT))
    }

    fn of(bytes: &[u8]) -> Result<Self, ObjectError> {
        let file = object::File::parse(bytes)?;
        let license = match file.section_by_name("license") {
            Some(section) => String::from_utf8_lossy(section.data()?).trim_end_matches('\0').to_owned(),
            None => "none".to_owned(),
        };
        let functions = file.section_by_name(".text").map(|section| section.index());
        let (mut contents, texts) =
            (Self { programs: Vec::new(), functions: Vec::new(), license }, file.symbols());
        for symbol in texts.filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0) {
            let program =
                Program { name: symbol.name()?.to_owned(), instructions: symbol.size() / INSTRUCTION };
            let list = if symbol.section_index() == functions {
                &mut contents.functions
            } else {
                &mut contents.programs
            };
            list.push(program);
        }
        for list in [&mut contents.programs, &mut contents.functions] {
            list.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(contents)
    }

    /// Instructions of all of them.
    pub fn instructions(&self) -> u64 {
        self.programs.iter().chain(&self.functions).map(|program| program.instructions).sum()
    }
}

impl std::fmt::Display for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (programs, instructions) = (self.programs.len(), self.instructions());
        write!(f, "{programs} programs, {instructions} instructions, licence {}", self.license)
    }
}

#[cfg(test)]
mod tests {
    use sensor_ebpf::events::EVENTS;
    use sensor_ebpf::requests::PROGRAMS;

    use super::*;

    #[test]
    #[cfg_attr(not(has_bpf), ignore = "needs the eBPF programs (`cargo xtask build-ebpf`)")]
    fn the_embedded_object_has_a_program_for_each_event_and_the_licence_of_its_helpers() {
        let contents = Contents::embedded().unwrap().unwrap();
        let mut expected: Vec<&str> = EVENTS
            .iter()
            .map(|event| event.program)
            .chain(["sys_exit"])
            .chain(PROGRAMS.map(|(name, _)| name))
            .collect();
        expected.sort_unstable();
        assert_eq!(contents.programs.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), expected);
        assert!(contents.programs.iter().all(|program| program.instructions > 10));
        assert!(contents.functions.iter().any(|function| function.name == "walk"));
        assert_eq!(contents.license, "Dual MIT/GPL");
        assert!(contents.to_string().ends_with(" instructions, licence Dual MIT/GPL"), "{contents}");
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        assert!(Contents::of(b"").is_err());
        assert!(Contents::of(b"\x7fELF and no more").is_err());
    }
}
