"""Files of anyone's: parsed, checked before they are believed, and brought into one form."""
