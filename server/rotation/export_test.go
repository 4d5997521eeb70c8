package rotation

// The due queries, for the test of their plans.
const (
	DuePlan         = dueQuery
	DueOfPolicyPlan = dueOfPolicy
)
