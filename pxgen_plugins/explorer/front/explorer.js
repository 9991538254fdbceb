// The front end.
export default { render() {} };
