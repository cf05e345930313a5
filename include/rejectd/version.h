/* The version of the library, the daemon and the wire protocol. */
#ifndef REJECTD_VERSION_H
#define REJECTD_VERSION_H

#define REJECTD_VERSION "0.1.0"

/* The major number of the HTTP API, as in /v1/. */
#define REJECTD_API_VERSION 1

#endif
