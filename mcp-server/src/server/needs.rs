//! What a caller needs to read something that is no tool: it is told by the tools that show the same.

use contracts::token::PrincipalRole;
use contracts::tool::ToolSheet;

use crate::call;
use crate::caller::Caller;

/// A role, and the reach of one of these tools.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    least_role: PrincipalRole,
    any_of: &'static [&'static str],
}

impl Needs {
    /// For everybody who may use one of these tools.
    pub(super) const fn any_of(tools: &'static [&'static str]) -> Needs {
        Needs {
            least_role: PrincipalRole::Customer,
            any_of: tools,
        }
    }

    /// The same, but not for customers: it is the shop's own business.
    pub(super) const fn of_the_shop(tools: &'static [&'static str]) -> Needs {
        Needs {
            least_role: PrincipalRole::Staff,
            any_of: tools,
        }
    }

    fn tools(self) -> impl Iterator<Item = &'static ToolSheet> {
        self.any_of.iter().filter_map(|name| call::sheet(name))
    }

    pub(super) fn are_met_by(self, caller: &Caller) -> bool {
        caller.role >= self.least_role && self.tools().any(|sheet| caller.may_call(sheet))
    }

    /// The tool whose reach is missing, where the role would do.
    pub(super) fn missing(self, caller: &Caller) -> Option<&'static ToolSheet> {
        let could = caller.role >= self.least_role && !self.are_met_by(caller);
        self.tools().next().filter(|_| could)
    }
}

#[cfg(test)]
mod tests {
    use contracts::scope::Reach;
    use contracts::tool::Tool as _;
    use contracts::tools::billing::GetBill;
    use contracts::tools::inventory::ListItems;

    use super::*;

    fn caller(role: PrincipalRole, scopes: &[&str]) -> Caller {
        Caller {
            role,
            reach: Reach::of_scopes(scopes.iter().copied()).unwrap(),
            ..Caller::local_owner()
        }
    }

    #[test]
    fn one_of_the_tools_is_enough_and_what_is_missing_is_named_to_whom_it_could_be_given() {
        let needs = Needs::of_the_shop(&[ListItems::NAME, GetBill::NAME]);
        let billing = caller(PrincipalRole::Staff, &["billing:read"]);
        assert!(needs.are_met_by(&billing));
        assert!(needs.missing(&billing).is_none());
        let booking = caller(PrincipalRole::Staff, &["booking:commit"]);
        assert!(!needs.are_met_by(&booking));
        assert_eq!(needs.missing(&booking).unwrap().name, ListItems::NAME);
        let customer = caller(PrincipalRole::Customer, &["all:commit"]);
        assert!(!needs.are_met_by(&customer));
        assert!(needs.missing(&customer).is_none());
        assert!(Needs::any_of(&[ListItems::NAME]).are_met_by(&customer));
    }

    #[test]
    fn every_tool_that_is_named_is_there() {
        use super::super::{addresses, prompts};
        for needs in addresses::all_needs()
            .into_iter()
            .chain(prompts::all_needs())
        {
            assert_eq!(needs.tools().count(), needs.any_of.len(), "{needs:?}");
        }
    }
}
