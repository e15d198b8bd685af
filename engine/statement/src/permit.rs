//! Who asks, what that needs, and the proof that it was allowed.

use std::fmt;

use weft_model::Principal;

use super::{EndStatus, Refusal, Request};

/// What a request needs, by Fabric's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Run and steer batches.
    Batch,
    /// Look at batches, jobs and nodes.
    BatchRead,
    /// Read instances.
    Read,
    /// Sync instances.
    Write,
    /// Deploy a project.
    Deploy,
    /// Nothing that is shared: the session's own values, HELP, ECHO.
    None,
}

impl Permission {
    /// The name as GRANT has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "BATCH",
            Self::BatchRead => "BATCH_READ",
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::Deploy => "DEPLOY",
            Self::None => "NONE",
        }
    }
}

/// What a request needs, and on what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The permission.
    pub permission: Permission,
    /// The logical units it is about; empty where it is about none in particular.
    pub logical_units: Vec<String>,
}

impl Access {
    /// A permission on nothing in particular.
    pub fn to(permission: Permission) -> Self {
        Self {
            permission,
            logical_units: Vec::new(),
        }
    }

    /// A permission on logical units.
    pub fn on<'l>(permission: Permission, units: impl IntoIterator<Item = &'l str>) -> Self {
        Self {
            permission,
            logical_units: units.into_iter().map(str::to_owned).collect(),
        }
    }
}

/// What can be asked for: knows what it needs.
pub trait Operation {
    /// What it needs.
    fn access(&self) -> Access;
}

/// Decides what principals may do.
pub trait Policy: Send + Sync + fmt::Debug {
    /// Whether `principal` may do this.
    fn allows(&self, principal: &Principal, access: &Access) -> bool;
}

/// One principal, who has the local token, may do everything; nobody else may do anything.
#[derive(Clone, Debug)]
pub struct LocalTokenPolicy {
    local: Principal,
}

impl LocalTokenPolicy {
    /// The holder of the local token is `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            local: Principal { name: name.into() },
        }
    }
}

impl Policy for LocalTokenPolicy {
    fn allows(&self, principal: &Principal, access: &Access) -> bool {
        access.permission == Permission::None || *principal == self.local
    }
}

/// Proof that a principal may make a request, with the request. Only [`authorize`] makes one.
#[derive(Debug)]
pub struct Permit<R = Request> {
    principal: Principal,
    request: R,
}

/// Asks `policy` whether `principal` may make `request`.
///
/// # Errors
/// A [`Refusal`] with [`EndStatus::NotAllowed`].
pub fn authorize<R: Operation>(
    policy: &dyn Policy,
    principal: &Principal,
    request: R,
) -> Result<Permit<R>, Refusal> {
    let access = request.access();
    if !policy.allows(principal, &access) {
        let permission = access.permission.as_str();
        let mut message = format!("{} may not do this: {permission} is needed", principal.name);
        if !access.logical_units.is_empty() {
            message.push_str(" on ");
            message.push_str(&access.logical_units.join(", "));
        }
        return Err(Refusal::new(EndStatus::NotAllowed, message));
    }
    Ok(Permit {
        principal: principal.clone(),
        request,
    })
}

impl<R> Permit<R> {
    /// Who may.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What.
    pub fn request(&self) -> &R {
        &self.request
    }
}

impl Permit<Request> {
    /// The permitted request, and how to permit its parts.
    pub(super) fn open(self) -> (Principal, Request) {
        (self.principal, self.request)
    }
}

/// The permit for what stands inside a permitted request.
pub(super) fn part<R>(principal: &Principal, request: R) -> Permit<R> {
    Permit {
        principal: principal.clone(),
        request,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::NodeQuery;

    #[test]
    fn only_the_holder_of_the_local_token_is_let_in() {
        let policy = LocalTokenPolicy::new("admin");
        let admin = Principal {
            name: "admin".to_owned(),
        };
        let other = Principal {
            name: "eve".to_owned(),
        };
        assert!(authorize(&policy, &admin, NodeQuery).is_ok());
        let refusal = authorize(&policy, &other, NodeQuery).expect_err("eve is a stranger");
        assert_eq!(refusal.status(), EndStatus::NotAllowed);
        assert_eq!(
            refusal.message(),
            "eve may not do this: BATCH_READ is needed"
        );
    }
}
