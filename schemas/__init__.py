"""The contract: everything two processes of Tally must agree on. Imports none of the other packages."""
