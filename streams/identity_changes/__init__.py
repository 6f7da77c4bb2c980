"""`python -m streams identities`: who a visitor or user is and why; links that a person makes and takes back."""
