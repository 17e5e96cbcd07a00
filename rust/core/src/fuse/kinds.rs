//! The fusions that pixq knows. To add one, add a row to [`KINDS`]: how patches are fused and measured, what records
//! and manifests may hold, and what Python and the command line take all follow from the table.

use serde::{Deserialize, Serialize};

use crate::checks::check_weight;
use crate::error::Result;

/// One of the two patches that are fused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    /// The reference patch.
    Reference,
    /// The distorted patch.
    Distorted,
}

/// A row of [`KINDS`].
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// What the patch shows outside its RoI.
    pub outside: Image,
    /// What it shows in its RoI; `None` for the mean of both that `alpha` weights.
    pub inside: Option<Image>,
    /// What it gives, in a few words.
    pub description: &'static str,
}

/// All fusions. Their positions are the codes of records in memory, so rows are only ever added at the end.
pub static KINDS: [Kind; 4] = [
    Kind {
        name: "none",
        outside: Image::Distorted,
        inside: Some(Image::Distorted),
        description: "the distorted patch as it is",
    },
    Kind {
        name: "copy",
        outside: Image::Distorted,
        inside: Some(Image::Reference),
        description: "the distorted patch with the reference's RoI",
    },
    Kind {
        name: "blend",
        outside: Image::Distorted,
        inside: None,
        description: "the distorted patch with alpha * reference + (1 - alpha) * distorted in its RoI",
    },
    Kind {
        name: "paste",
        outside: Image::Reference,
        inside: Some(Image::Distorted),
        description: "the reference patch with the distorted RoI",
    },
];

/// How a reference and a distorted patch are combined.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Named", into = "Named")]
pub struct Fusion {
    kind: &'static Kind,
    alpha: Option<f64>,
}

/// A fusion as it stands in JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(rename = "type")]
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    alpha: Option<f64>,
}

impl TryFrom<Named> for Fusion {
    type Error = String;

    fn try_from(named: Named) -> Result<Self, Self::Error> {
        let kind = Kind::named(&named.name)
            .ok_or_else(|| format!("unknown fusion {:?}; choose {}", named.name, kind_names()))?;
        match (kind.takes_alpha(), named.alpha) {
            (true, None) => Err(format!("fusion {:?} needs an alpha", kind.name)),
            (false, Some(_)) => Err(format!("fusion {:?} takes no alpha", kind.name)),
            (_, alpha) => Ok(Self { kind, alpha }),
        }
    }
}

impl From<Fusion> for Named {
    fn from(fusion: Fusion) -> Self {
        Self { name: fusion.kind.name.into(), alpha: fusion.alpha }
    }
}

/// The names of all fusions, as a sentence lists them.
pub fn kind_names() -> String {
    let names: Vec<_> = KINDS.iter().map(|kind| format!("{:?}", kind.name)).collect();
    let (last, others) = names.split_last().expect("there are fusions");
    format!("{} or {last}", others.join(", "))
}

impl Kind {
    /// The row with a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    /// The fusion of this kind. `alpha` is checked whether or not the fusion uses it.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) unless `alpha` lies in [0, 1].
    pub fn fusion(&'static self, alpha: f64) -> Result<Fusion> {
        check_weight("alpha", alpha)?;
        Ok(Fusion { kind: self, alpha: self.takes_alpha().then_some(alpha) })
    }

    /// Whether `alpha` weights what the patch shows in its RoI.
    pub fn takes_alpha(&self) -> bool {
        self.inside.is_none()
    }
}

impl Fusion {
    /// The distorted patch as it is.
    pub const NONE: Self = Self { kind: &KINDS[0], alpha: None };
    /// The distorted patch with the reference's RoI.
    pub const COPY: Self = Self { kind: &KINDS[1], alpha: None };
    /// The reference patch with the distorted RoI.
    pub const PASTE: Self = Self { kind: &KINDS[3], alpha: None };

    /// The distorted patch with the mean of both in its RoI; `alpha`, in [0, 1], is the weight of the reference.
    pub const fn blend(alpha: f64) -> Self {
        Self { kind: &KINDS[2], alpha: Some(alpha) }
    }

    /// Its row of the table.
    pub fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// The weight of the reference in the RoI, if the fusion takes one.
    pub fn alpha(&self) -> Option<f64> {
        self.alpha
    }

    /// Whether what the patch shows depends on where its RoI is.
    pub fn uses_roi(&self) -> bool {
        self.kind.inside != Some(self.kind.outside)
    }

    /// An error unless `alpha` lies in [0, 1].
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value).
    pub fn check(&self) -> Result<()> {
        self.alpha.map_or(Ok(()), |alpha| check_weight("alpha", alpha))
    }
}
