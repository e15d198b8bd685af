//! Who asks, which permission that needs, and the proof that it was granted.

use std::fmt;

use weft_model::Principal;

use crate::frame::EndStatus;
use crate::refusal::Refusal;

/// What an operation needs, by the names of GRANT in Fabric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Run and control batches and jobs.
    Batch,
    /// List batches, jobs and nodes.
    BatchRead,
    /// Read instances.
    Read,
    /// Sync instances.
    Write,
    /// Deploy a project.
    Deploy,
    /// Nothing shared: the values of the session, HELP, ECHO.
    None,
}

impl Permission {
    /// The name in GRANT.
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

/// A permission, and the objects that it is needed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The permission.
    pub permission: Permission,
    /// The logical units concerned; empty when the operation concerns none in particular.
    pub logical_units: Vec<String>,
}

impl Access {
    /// A permission on no logical unit in particular.
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

/// An operation that needs a permission.
pub trait Operation {
    /// What the operation needs.
    fn access(&self) -> Access;
}

/// `needs!(Batch: CancelTarget)`: the operation needs this permission, on no logical unit in particular.
macro_rules! needs {
    ($permission:ident: $($operation:ty),+ $(,)?) => {$(
        impl $crate::permission::Operation for $operation {
            fn access(&self) -> $crate::permission::Access {
                $crate::permission::Access::to($crate::permission::Permission::$permission)
            }
        }
    )+};
}
pub(crate) use needs;

/// Decides what principals may do.
pub trait Policy: Send + Sync + fmt::Debug {
    /// Whether `principal` has this access.
    fn allows(&self, principal: &Principal, access: &Access) -> bool;
}

/// The principal with the local token may do everything; every other principal may do nothing.
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

/// Proof that a principal may make a request, together with the request. Only [`authorize`] makes one.
#[derive(Debug)]
pub struct Permit<R> {
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
    /// The principal that makes the request.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The permitted request.
    pub fn request(&self) -> &R {
        &self.request
    }

    /// Takes the request out. The grant permits its parts.
    pub(crate) fn open(self) -> (Grant, R) {
        (Grant(self.principal), self.request)
    }
}

/// What is left of a permit once its request was taken out: it permits the parts of that request.
#[derive(Debug)]
pub(crate) struct Grant(Principal);

impl Grant {
    /// Permits a part of the request.
    pub(crate) fn permit<P>(&self, part: P) -> Permit<P> {
        Permit {
            principal: self.0.clone(),
            request: part,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct ListNodes;

    impl Operation for ListNodes {
        fn access(&self) -> Access {
            Access::to(Permission::BatchRead)
        }
    }

    #[test]
    fn only_the_holder_of_the_local_token_is_let_in() {
        let policy = LocalTokenPolicy::new("admin");
        let admin = Principal {
            name: "admin".to_owned(),
        };
        let other = Principal {
            name: "eve".to_owned(),
        };
        assert!(authorize(&policy, &admin, ListNodes).is_ok());
        let Err(refusal) = authorize(&policy, &other, ListNodes) else {
            panic!("eve is a stranger")
        };
        assert_eq!(refusal.status(), EndStatus::NotAllowed);
        assert_eq!(
            refusal.message(),
            "eve may not do this: BATCH_READ is needed"
        );
    }
}
