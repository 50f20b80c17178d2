/* The empty library that stands for each part of the driver that the lab has no use for. */
typedef int nothing;
