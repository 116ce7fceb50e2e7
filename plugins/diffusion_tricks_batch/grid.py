def axis_from(s):
    raise NotImplementedError
