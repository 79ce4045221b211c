/** A process ends so when no restart can help: a person must change something first. */
export const EXIT_CONFIG = 78; // EX_CONFIG of sysexits.h
