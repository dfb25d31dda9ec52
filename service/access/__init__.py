"""Who may do what: roles, tokens, projects, and the gate every route declares its right to."""
