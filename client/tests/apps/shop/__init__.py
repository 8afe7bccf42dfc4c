"""Orders in a database: tasks open sessions of their own, and the suite is one of unittest."""
