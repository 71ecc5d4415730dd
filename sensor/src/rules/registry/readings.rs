//! An event can have two names for one thing: a path as the program asked for it and as the kernel resolved it, a parent as the
//! process that forked and as whoever has the child now, a unix socket as a pair and as a path. A rule holds for an event when it holds for the one or for the other.
//!
//! A [`Reading`] chooses a name for each [`Kind`] of thing. A condition is evaluated with one reading throughout, so the name that
//! an exception speaks of is the name that the rest of the condition saw: `not fd.name startswith /tmp` excepts an event only if
//! none of its names is left over. There are as many readings as the names that differ allow, and nearly always that is one:
//! kinds whose names are equal, and kinds that no condition asks about, are not turned. The first reading that holds raises the
//! alert, and the alert says what the other name was.
//!
//! Spellings of one name are something else: see [`super::spellings`].

use serde::Deserialize;

use super::fields::Field;

/// What has two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Paths: as resolved, and as asked for.
    Path = 1,
    /// Parents: whose child the kernel says it is, and who forked it. They differ when that one has ended, or gave the child to its
    /// own parent (`CLONE_PARENT`).
    Lineage = 2,
    /// Unix sockets: with the numbers of both ends in front, as Falco prints a pair, and the name alone, which is the file's with the
    /// first name of [`Kind::Path`] and what was passed to bind with the second.
    Socket = 4,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Path, Self::Lineage, Self::Socket];

    /// Whether a field's value depends on the name that is chosen.
    const fn touches(self, field: Field) -> bool {
        match self {
            // What was passed (`evt.arg`, `evt.abspath`, `fd.nameraw`) stays as it was passed.
            Self::Path => matches!(
                field,
                Field::FdName
                    | Field::FdDirectory
                    | Field::FdFilename
                    | Field::FdContainername
                    | Field::FdContainerdirectory
                    | Field::FsPathName
            ),
            Self::Socket => matches!(field, Field::FdName | Field::FdContainername),
            // Leaders of sessions and groups are found by number.
            Self::Lineage => matches!(
                field,
                Field::ProcPname
                    | Field::ProcPexe
                    | Field::ProcPexepath
                    | Field::ProcPcmdline
                    | Field::ProcPpid
                    | Field::ProcPvpid
                    | Field::ProcPpidDuration
                    | Field::ProcPpidTs
                    | Field::ProcAname
                    | Field::ProcAexe
                    | Field::ProcAexepath
                    | Field::ProcAcmdline
                    | Field::ProcAargs
                    | Field::ProcApid
                    | Field::ProcAenv
                    | Field::ProcLoginshellid
            ),
        }
    }
}

/// A choice of names: the kinds of which the second name counts. Also used as a set of kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading(u8);

impl Reading {
    /// First names only.
    pub const FIRST: Self = Self(0);

    pub const fn has(self, kind: Kind) -> bool {
        self.0 & kind as u8 != 0
    }

    #[must_use]
    pub const fn with(self, kind: Kind) -> Self {
        Self(self.0 | kind as u8)
    }

    const fn with_if(self, yes: bool, kind: Kind) -> Self {
        if yes { self.with(kind) } else { self }
    }

    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The same with the other name of each kind in `kinds`.
    #[must_use]
    pub const fn turned(self, kinds: Self) -> Self {
        Self(self.0 ^ kinds.0)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds that a field touches.
    pub fn of(field: Field) -> Self {
        Kind::ALL.iter().filter(|kind| kind.touches(field)).fold(Self::FIRST, |set, kind| set.with(*kind))
    }

    /// Every choice among the kinds of this set, but for the one that turns nothing; those that turn little come first.
    pub fn choices(self) -> impl Iterator<Item = Self> {
        let all = 1..1u8 << Kind::ALL.len();
        (1..=u32::try_from(Kind::ALL.len()).unwrap_or(0)).flat_map(move |turned| {
            let of_size = all.clone().filter(move |bits| bits.count_ones() == turned);
            of_size.filter(move |bits| bits & !self.0 == 0).map(Self)
        })
    }
}

/// Which names of paths rules see (`path_names`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PathNames {
    /// A rule holds for the one or for the other.
    #[default]
    Both,
    /// As the program asked for it, made absolute: Falco's.
    Asked,
    /// As the kernel resolved it.
    Resolved,
}

/// Which ancestors rules see (`lineage`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lineage {
    /// A rule holds for the ones or for the others.
    #[default]
    Both,
    /// As the kernel has them: Falco's.
    Current,
    /// Who forked whom, as far as that is known.
    Original,
}

/// Which names count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Readings {
    pub paths: PathNames,
    pub lineage: Lineage,
}

impl Readings {
    /// The reading that comes first.
    pub const fn first(self) -> Reading {
        let paths = matches!(self.paths, PathNames::Asked);
        let lineage = matches!(self.lineage, Lineage::Original);
        Reading::FIRST.with_if(paths, Kind::Path).with_if(lineage, Kind::Lineage)
    }

    /// The kinds of which both names count.
    pub const fn both(self) -> Reading {
        let paths = matches!(self.paths, PathNames::Both);
        let lineage = matches!(self.lineage, Lineage::Both);
        // `asked` is Falco's, which has no other name of a socket.
        let sockets = !matches!(self.paths, PathNames::Asked);
        let both = Reading::FIRST.with_if(paths, Kind::Path).with_if(lineage, Kind::Lineage);
        both.with_if(sockets, Kind::Socket)
    }
}
