//! What the whole cluster shares: the deployed project and the settings.

use weft_model::{Deployment, Setting, Token};

use super::{CompareAndSet, StoredRow, sent_by};

/// A row together with the token of the operation that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<T> {
    /// The token.
    pub token: Option<Token>,
    /// The row.
    pub value: T,
}

/// A project becomes the deployed one: `IF seq = <seq - 1>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deploy {
    /// The new deployment, with its `seq`.
    pub deployment: Deployment,
    /// Names this attempt.
    pub token: Token,
}

/// A setting of the cluster gets its next value: `IF seq = <seq - 1>`; a missing row counts as 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutSetting {
    /// The new row, with its `seq`.
    pub setting: Setting,
    /// Names this attempt.
    pub token: Token,
}

sent_by! {
    deploy: Deploy, Option<Deployment>;
    put_setting: PutSetting, Option<Setting>;
}

impl StoredRow for Signed<Deployment> {
    /// There is one row.
    type Key = ();
}

impl StoredRow for Signed<Setting> {
    /// The name.
    type Key = String;
}

impl CompareAndSet for Deploy {
    type Row = Signed<Deployment>;

    fn key(&self) {}

    fn is_applied(&self, row: Option<&Self::Row>) -> bool {
        row.is_some_and(|row| row.token == Some(self.token))
    }

    fn holds(&self, row: Option<&Self::Row>) -> bool {
        row.map_or(0, |row| row.value.seq) == self.deployment.seq - 1
    }

    fn apply(&self, _: Option<Self::Row>) -> Option<Self::Row> {
        Some(Signed {
            token: Some(self.token),
            value: self.deployment.clone(),
        })
    }
}

impl CompareAndSet for PutSetting {
    type Row = Signed<Setting>;

    fn key(&self) -> String {
        self.setting.name.clone()
    }

    fn is_applied(&self, row: Option<&Self::Row>) -> bool {
        row.is_some_and(|row| row.token == Some(self.token))
    }

    fn holds(&self, row: Option<&Self::Row>) -> bool {
        row.map_or(0, |row| row.value.seq) == self.setting.seq - 1
    }

    fn apply(&self, _: Option<Self::Row>) -> Option<Self::Row> {
        Some(Signed {
            token: Some(self.token),
            value: self.setting.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use weft_model::clock::Timestamp;

    use super::super::{loses, moves_on};
    use super::*;

    fn put(seq: i64) -> PutSetting {
        PutSetting {
            setting: Setting {
                name: "affinity_rules".to_owned(),
                seq,
                value: format!("value {seq}"),
                changed_at: Timestamp(1),
                changed_by: "admin".to_owned(),
            },
            token: Token(Uuid::from_u128(seq.unsigned_abs().into())),
        }
    }

    #[test]
    fn a_setting_gets_its_next_value() {
        let first = moves_on(&put(1), None);
        let second = moves_on(&put(2), first.clone());
        assert_eq!(second.as_ref().map(|row| row.value.seq), Some(2));
        loses(&put(2), None);
        loses(&put(3), first);
        loses(&put(1), second);
    }

    #[test]
    fn a_deployment_follows_the_one_before() {
        let deploy = |seq: i64| Deploy {
            deployment: Deployment {
                seq,
                hash: format!("hash {seq}"),
                deployed_at: Timestamp(1),
                deployed_by: "admin".to_owned(),
                logical_units: Vec::new(),
            },
            token: Token(Uuid::from_u128(seq.unsigned_abs().into())),
        };
        let first = moves_on(&deploy(1), None);
        loses(&deploy(3), first.clone());
        loses(&deploy(2), None);
        moves_on(&deploy(2), first);
    }
}
