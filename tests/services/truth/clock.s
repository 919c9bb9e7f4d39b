// Empty: lets the compiler accept Now, which has no body here.
